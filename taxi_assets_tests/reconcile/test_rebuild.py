"""The warehouses from the lake alone: a database that was dropped holds the same rows again."""

import hashlib
import os
from datetime import date
from typing import Any

import dagster as dg
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from psycopg import sql

from taxi_assets.cli.main import cli
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import clean_object, pairs_object
from taxi_assets.contract.tables import PAIRS_SCHEMA, TABLES, pairs_table
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets_tests.conftest import World, instance, make_world

WHOLE_TABLES_HELD = ("zones", "zone_areas", "zone_pieces", "green_duration_pairs")
MONTHS = (("green", date(2020, 4, 1)), ("green", date(2019, 5, 1)), ("yellow", date(2024, 1, 1)))


@pytest.fixture(scope="module")
def filled(services: Any, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three months and the zones in all sinks."""
    world = make_world(services, tmp_path_factory.mktemp("rebuild"))
    for dataset, month in MONTHS:
        assert world.run(dataset, month).success
    assert dg.materialize([build_zones()], resources=world.resources, instance=instance()).success
    _publish_pairs(world)
    return world


def _publish_pairs(world: World) -> None:
    """Publish scored pairs of zones as `green/duration_pairs` does, without a model."""
    month = date(2020, 4, 1)
    pair = {
        "model_month": month,
        "scored_month": month,
        "pickup_location_id": 74,
        "dropoff_location_id": 75,
        "trips": 9,
    }
    path = world.settings.data_dir / "pairs.parquet"
    pq.write_table(pa.Table.from_pylist([pair], schema=PAIRS_SCHEMA.arrow), path)
    stored = world.lake.put(path, pairs_object("green"), {})
    for warehouse in (world.postgres, world.bigquery):
        warehouse.replace_table(pairs_table("green"), world.lake.file(stored), 1)


def taxi(world: World, *arguments: str) -> Result:
    """Run the command with that world's environment and no other."""
    settings = world.settings
    environment = {name: None for name in os.environ if name.startswith(("TAXI_", "DAGSTER_", "PG"))} | {
        "TAXI_DATA_DIR": str(settings.data_dir),
        "TAXI_POSTGRES_URL": world.postgres_url,
        "TAXI_GCS_BUCKET": settings.gcs_bucket,
        "TAXI_BIGQUERY_DATASET": settings.bigquery_dataset,
        "TAXI_GCS_PORT": str(settings.gcs_port),
        "TAXI_BIGQUERY_PORT": str(settings.bigquery_port),
    }
    before = dict(os.environ)
    try:
        return CliRunner().invoke(cli, arguments, env=environment)
    finally:
        # What the command itself sets, for its clients.
        os.environ.clear()
        os.environ.update(before)


def contents(world: World) -> dict[str, tuple[int, str]]:
    """Rows of each table of the database, and a digest of all their values in any order."""
    found = {}
    with psycopg.connect(world.postgres_url) as connection:
        for name in TABLES:
            query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier("taxi", name))
            rows = sorted(row[0] for row in connection.execute(query))
            found[name] = len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return found


def test_database_that_was_dropped_holds_the_same_rows_again(filled: World) -> None:
    before = contents(filled)
    assert all(before[name][0] > 0 for name in ("green_trips", "yellow_trips", *WHOLE_TABLES_HELD))
    name = filled.postgres_url.split("/")[3].split("?")[0]
    with psycopg.connect(filled.postgres_url.replace(f"/{name}?", "/postgres?"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    for path in filled.lake.local_path("").rglob("*.parquet"):
        path.unlink()

    done = taxi(filled, "rebuild", "--postgres")

    assert done.exit_code == 0, done.output
    assert contents(filled) == before
    trips = before["green_trips"][0] + before["yellow_trips"][0]
    pieces = before["zone_pieces"][0]
    assert f"7 loaded with {trips + 265 + 263 + pieces + 1:,} rows, 0 equal already, 0 failed." in done.output
    assert "green 2020-04 in PostgreSQL: " in done.output
    assert "zones in PostgreSQL: 265 rows loaded" in done.output
    # A rebuild passes through the disk and does not fill it; the months' rows are there, and PostgreSQL has no more.
    assert not list(filled.lake.local_path("clean/green").rglob("*.parquet"))


def test_bigquery_that_was_dropped_holds_the_same_rows_again(filled: World) -> None:
    before = [filled.bigquery.month_totals(DATASETS[dataset], month) for dataset, month in MONTHS]
    with filled.bigquery.get_client() as client:
        client.delete_dataset(filled.bigquery.dataset, delete_contents=True)
    done = taxi(filled, "rebuild", "--bigquery")
    assert done.exit_code == 0, done.output
    assert [filled.bigquery.month_totals(DATASETS[dataset], month) for dataset, month in MONTHS] == before
    for name in WHOLE_TABLES_HELD:
        assert f"{name} in BigQuery: " in done.output


def test_what_equals_the_lake_is_left_and_what_does_not_is_loaded(filled: World) -> None:
    with psycopg.connect(filled.postgres_url) as connection:
        connection.execute("UPDATE taxi.green_trips SET fare_amount = 9 WHERE source_month = '2020-04-01'")
    done = taxi(filled, "rebuild", "green")
    assert done.exit_code == 0, done.output
    assert "green 2019-05 in PostgreSQL: equals the lake" in done.output
    assert "1 loaded with" in done.output
    assert "3 equal already" in done.output
    totals = filled.totals("green", date(2020, 4, 1))
    assert totals["postgres"] == totals["lake"]
    assert "zones" not in done.output
    assert "yellow" not in done.output
    forced = taxi(filled, "rebuild", "green", "2020-01..2020-12", "--postgres", "--force")
    assert (forced.exit_code, forced.output.count("loaded with"), forced.output.count("2019")) == (0, 1, 0)


def test_month_that_cannot_be_loaded_is_said_and_the_others_are_loaded(filled: World, tmp_path: Any) -> None:
    name = clean_object("green", date(2018, 1, 1))
    path = tmp_path / "by_hand.parquet"
    path.write_bytes(b"not ours")
    filled.lake.put(path, name, {})
    try:
        done = taxi(filled, "rebuild", "green", "--postgres")
    finally:
        filled.lake._bucket.blob(name).delete()
    assert done.exit_code == 1
    assert "green 2018-01 in PostgreSQL: failed: gs://" in done.output
    assert "overwritten by hand" in done.output
    assert "2 equal already, 1 failed; mend what is named and run it again." in done.output


def test_lake_that_is_empty_is_said(world: World) -> None:
    done = taxi(world, "rebuild", "fhv")
    assert (done.exit_code, done.output) == (0, "The lake holds none of these months.\n")


def test_database_that_does_not_answer_ends_in_one_sentence(filled: World) -> None:
    done = taxi(World(filled.settings, {}, "postgresql://nobody@127.0.0.1:1/none"), "rebuild", "green", "--postgres")
    assert done.exit_code == 1
    assert done.output.startswith("taxi: PostgreSQL does not answer at")
    assert done.output.count("\n") == 1


def test_migrate_says_what_it_did(world: World) -> None:
    assert "PostgreSQL: applied 1 (contract 1), 2 (contract 2).\nBigQuery: the tables" in taxi(world, "migrate").output
    again = taxi(world, "migrate", "--postgres")
    assert (again.exit_code, again.output) == (0, "PostgreSQL: nothing to do.\n")
