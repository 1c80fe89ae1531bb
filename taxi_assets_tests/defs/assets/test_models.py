"""The duration model as an asset: made from the lake, blocked by its floors, used by `taxi estimate`."""

import json
from datetime import date, datetime

import dagster as dg
import pyarrow.parquet as pq
import pytest

from taxi_assets.cli.estimate import answer_from, as_text, find_zone
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.assets import models as module
from taxi_assets.defs.assets.models import build_duration_model, build_duration_pairs, reader
from taxi_assets.defs.assets.reports import facts_of
from taxi_assets.errors import ServiceError
from taxi_assets.models import store
from taxi_assets.models.fit import PARAMETERS
from taxi_assets_tests.conftest import World, failure
from taxi_assets_tests.support.trips import month_table

GREEN = DATASETS["green"]
MAY = date(2023, 5, 1)
MONTHS = [date(2023, number, 1) for number in (3, 4, 5)]


@pytest.fixture(autouse=True)
def small_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARAMETERS, "max_iter", 10)
    monkeypatch.setitem(PARAMETERS, "learning_rate", 0.4)


def put_month(world: World, month: date, source: str = "https://example.org/green") -> None:
    """Publish a month of made-up trips in the lake, as `gcs_object` would."""
    with world.lake.scratch() as folder:
        path = folder / "kept.parquet"
        pq.write_table(month_table(month, 1500), path)
        manifest = Manifest("green", month, "1", "raw", "0" * 64, 1500, "", source, {}, {}, [], Totals(1500))
        world.lake.put(path, clean_object("green", month), {"manifest": manifest.to_json()})


def run(world: World, asset: dg.AssetsDefinition, month: date | None = MAY) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [asset],
        partition_key=month.isoformat() if month else None,
        resources=world.resources,
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )


def names(world: World) -> list[str]:
    return [item.name for item in world.lake.list("models/green/")]


def card(world: World, name: str = "2023-05/card.json") -> dict:
    return json.loads(world.lake.fetch(f"models/green/{name}").read_bytes())


def ask(world: World, at: str = "2023-05-10 17:30") -> dict:
    months = store.model_months("green", names(world))
    zones = find_zone("JFK"), find_zone("Times Sq/Theatre District")
    return answer_from("green", *zones, datetime.fromisoformat(at), months, reader(world.lake))


def test_a_model_is_made_scored_used_and_its_pairs_are_in_both_warehouses(world: World):
    for month in MONTHS:
        put_month(world, month)
    result = run(world, build_duration_model(GREEN))
    assert result.success
    found = card(world)
    assert [item["month"] for item in found["inputs"]] == ["2023-03", "2023-04", "2023-05"]
    assert all(item["crc32c"] and item["raw_sha256"] for item in found["inputs"])
    assert found["scored_on"] == "2023-05"
    answer = ask(world)
    assert answer["model_month"] == "2023-05"
    assert answer["p10"] <= answer["minutes"] <= answer["p90"]
    assert answer["mae"] == round(found["scores"][0]["model"]["mae"], 2)
    assert run(world, build_duration_pairs(GREEN), None).success
    with world.postgres.connect() as connection:
        rows = connection.execute("SELECT * FROM taxi.green_duration_pairs ORDER BY 3, 4").fetchall()
    with world.bigquery.get_client() as client:
        table = f"{world.settings.gcp_project}.{world.settings.bigquery_dataset}.green_duration_pairs"
        other = [tuple(row.values()) for row in client.query(f"SELECT * FROM `{table}` ORDER BY 3, 4").result()]
    assert rows == other
    assert sum(row[4] for row in rows) == 1500
    assert not world.leftovers()


def test_a_model_that_is_not_better_than_the_floor_leaves_the_one_in_use(world: World, monkeypatch: pytest.MonkeyPatch):
    for month in MONTHS:
        put_month(world, month)
    assert run(world, build_duration_model(GREEN)).success
    before = names(world), card(world)
    monkeypatch.setattr("taxi_assets.models.card.NEEDED_GAIN", 0.99)
    result = run(world, build_duration_model(GREEN))
    [check] = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.blocking
    assert "99% is needed" in (check.description or "")
    assert card(world) == before[1]
    assert set(names(world)) - set(before[0]) == {f"models/green/rejected/2023-05.{e}" for e in ("html", "json")}
    assert ask(world)["model_month"] == "2023-05"


def test_from_sample_data_a_model_is_used_and_shows_no_accuracy(world: World):
    for month in MONTHS:
        put_month(world, month, "sample made on this machine (not TLC data)")
    result = run(world, build_duration_model(GREEN))
    assert result.success
    [event] = result.get_asset_materialization_events()
    assert not [name for name in event.materialization.metadata if "mae" in name or "gain" in name]
    answer = ask(world)
    assert answer["mae"] is None
    assert "no accuracy" in as_text(answer)
    pairs = pq.read_table(world.lake.fetch("models/green/2023-05/pairs.parquet"))
    assert pairs.column("mean_absolute_error").null_count == pairs.num_rows > 0


def test_the_error_of_earlier_models_is_on_the_card(world: World):
    for month in MONTHS:
        put_month(world, month)
    assert run(world, build_duration_model(GREEN), date(2023, 4, 1)).success
    assert run(world, build_duration_model(GREEN)).success
    [drift] = card(world)["drift"]
    assert (drift["model_month"], drift["age_months"]) == ("2023-04", 1)
    assert drift["mae"] > 0
    [first, own, old] = facts_of(world.lake, {"green": MONTHS}).models
    assert [(row["scored_month"], row["age_months"]) for row in (first, own, old)] == [
        ("2023-04", 0),
        ("2023-05", 0),
        ("2023-05", 1),
    ]
    scores = card(world)["scores"][0]
    assert (own["mae"], own["floor"]) == (scores["model"]["mae"], min(f["mae"] for f in scores["floors"].values()))
    assert (old["mae"], old["trips"], old["floor"]) == (drift["mae"], drift["trips"], None)


def test_a_month_that_was_replaced_is_sampled_again(world: World):
    put_month(world, MONTHS[0])
    kept = world.lake.find(clean_object("green", MONTHS[0]))
    first = module._sample(world.lake, GREEN, MONTHS[0], kept.crc32c).read_bytes()
    with world.lake.scratch() as folder:
        pq.write_table(month_table(MONTHS[0], 500), folder / "kept.parquet")
        newer = world.lake.put(folder / "kept.parquet", clean_object("green", MONTHS[0]), dict(kept.metadata))
    assert module._sample(world.lake, GREEN, MONTHS[0], newer.crc32c).read_bytes() != first


def test_without_the_month_before_the_run_says_what_to_do(world: World):
    put_month(world, MAY)
    assert "needs at least 2023-04" in failure(run(world, build_duration_model(GREEN)))


def test_without_a_model_the_command_says_what_to_do(world: World):
    with pytest.raises(ServiceError, match="materialize green/duration_model"):
        ask(world)
