"""Whole months through all five assets, against the real services."""

from datetime import date
from pathlib import Path

import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets_tests.conftest import World, changed
from taxi_assets_tests.support.http_server import serve

APRIL = date(2020, 4, 1)
REAL_MONTHS = {date(2020, 4, 1): 35_612, date(2020, 5, 1): 57_360, date(2020, 6, 1): 63_109}


def check_names(result) -> set[str]:
    return {evaluation.check_name for evaluation in result.get_asset_check_evaluations()}


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("month", [date(2019, 6, 1), date(2024, 1, 1)])
def test_a_sample_month_is_the_same_in_every_sink(world: World, dataset: str, month: date):
    result = world.run(dataset, month)
    assert result.success
    assert all(evaluation.passed for evaluation in result.get_asset_check_evaluations())
    totals = world.totals(dataset, month)
    assert totals["lake"].rows + world.rejected(dataset, month).num_rows == 3000
    assert totals["bigquery"] == totals["lake"]
    assert totals["postgres"] == totals["lake"]
    assert not world.leftovers()


def test_coordinates_of_the_first_years_arrive(world: World):
    month = date(2009, 1, 1)
    assert world.run("yellow", month).success
    with world.postgres.connect() as connection:
        row = connection.execute(
            "SELECT count(pickup_longitude), count(pickup_location_id), min(vendor_id), max(vendor_id) "
            "FROM taxi.yellow_trips"
        ).fetchone()
    assert row is not None
    assert row[0] > 2900
    assert row[1] == 0
    assert (row[2], row[3]) == (1, 3)


@pytest.mark.parametrize("served", ["file", "http"])
def test_real_green_months(world: World, tlc: Path, served: str):
    """The months of TLC's files arrive whole, whatever they are served by, and loading them again changes nothing."""
    with serve(tlc / "trips") as server:
        base = f"file://{tlc}/trips/" if served == "file" else server.url("/")
        real = world.with_source(base + "{dataset}_tripdata_{month}.csv.gz")
        for month, raw_rows in REAL_MONTHS.items():
            assert real.run("green", month).success
            totals = real.totals("green", month)
            rejected = real.rejected("green", month).num_rows
            assert totals["lake"].rows + rejected == raw_rows
            assert totals["bigquery"] == totals["lake"]
            assert totals["postgres"] == totals["lake"]
        before = {month: real.totals("green", month) for month in REAL_MONTHS}
        again = real.run("green", APRIL)
        assert again.success
        assert again.asset_materializations_for_node("green__raw_file")[0].metadata["downloaded"].value is False
        assert {month: real.totals("green", month) for month in REAL_MONTHS} == before
    assert not real.leftovers()


def test_both_warehouses_have_the_same_columns_in_the_same_order(world: World):
    assert world.run("yellow", APRIL).success
    expected = list(DATASETS["yellow"].schema.names)
    with world.bigquery.get_client() as client:
        table = client.get_table(world.bigquery.table(DATASETS["yellow"]))
    with world.postgres.connect() as connection:
        cursor = connection.execute("SELECT * FROM taxi.yellow_trips LIMIT 0")
        assert cursor.description is not None
        assert [column.name for column in cursor.description] == expected
    assert [field.name for field in table.schema] == expected


def test_metadata_tells_what_happened(world: World):
    result = world.run("green", APRIL)
    raw = result.asset_materializations_for_node("green__raw_file")[0].metadata
    clean = result.asset_materializations_for_node("green__clean_parquet")[0].metadata
    assert raw["is_sample"].value is True
    assert "sample made on this machine" in raw["source"].value
    assert len(raw["sha256"].value) == 64
    assert clean["raw_rows"].value == 3000
    assert clean["dagster/partition_row_count"].value + clean["rejected_rows"].value == 3000
    by_reason = {record.data["reason"]: record.data["rows"] for record in clean["rejected_by_reason"].records}
    assert sum(by_reason.values()) == clean["rejected_rows"].value
    assert clean["preview"].value.count("\n") == 11
    loaded = result.asset_materializations_for_node("green__bigquery_table")[0].metadata
    assert loaded["dagster/table_name"].value.endswith(".green_trips")


def test_a_rule_can_be_switched_off_for_a_run(world: World):
    config = {"ops": {"green__clean_parquet": {"config": {"rules_off": ["no_passengers"]}}}}
    usual = world.run("green", APRIL)
    relaxed = world.run("green", APRIL, run_config=config)
    before, after = (
        run.asset_materializations_for_node("green__clean_parquet")[0].metadata for run in (usual, relaxed)
    )
    assert after["rules_off"].value == ["no_passengers"]
    assert after["rejected_rows"].value < before["rejected_rows"].value
    assert world.totals("green", APRIL)["postgres"].rows == after["dagster/partition_row_count"].value


def test_another_machine_can_take_any_step(world: World, tmp_path: Path):
    """Each asset runs with an empty disk of its own; the lake is all they share."""
    names = ("raw_file", "clean_parquet", "gcs_object", "bigquery_table", "postgres_table")
    for number, name in enumerate(names):
        machine = tmp_path / f"machine{number}"
        world.resources["lake"] = changed(world.lake, data_dir=str(machine))
        assert world.run("green", APRIL, name).success, name
        # BigQuery and Cloud Storage move their bytes themselves.
        assert machine.exists() == (name not in ("gcs_object", "bigquery_table"))
    assert len(set(map(str, (t.rows for t in world.totals("green", APRIL).values())))) == 1
