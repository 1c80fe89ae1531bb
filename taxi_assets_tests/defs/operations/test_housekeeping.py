"""Housekeeping removes what has come of age in each place, nothing that is needed, and nothing in a dry run."""

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.test_utils import create_run_for_test
from google.cloud import bigquery

from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.operations.housekeeping import HousekeepingConfig, build_housekeeping_asset
from taxi_assets.defs.operations.leftovers import _is_of
from taxi_assets.local.environment import psycopg_url
from taxi_assets.resources import bigquery as bigquery_module
from taxi_assets.runtime import load_status
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.versions import APRIL, MAY

ALL_DAYS = ("run_days", "compute_log_days", "staging_days", "pending_days", "work_days", "cache_days")
YEAR = 365 * 86400.0


def tidy(world: World, home: dg.DagsterInstance, dry_run: bool = False, **days: float) -> dg.ExecuteInProcessResult:
    """Housekeeping with those ages, and for all else one that nothing reaches."""
    ages = dict.fromkeys(ALL_DAYS, 10_000.0) | days
    config = dg.RunConfig(
        ops={"operations__housekeeping": HousekeepingConfig(dry_run=dry_run, **ages)},
        loggers={"console": {"config": {"log_level": "ERROR"}}},
    )
    result = dg.materialize(
        [build_housekeeping_asset()], resources=world.resources, instance=home, run_config=config, raise_on_error=False
    )
    assert result.success, result.get_step_failure_events()
    return result


def told(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    """Return the table's rows by kind."""
    [event] = result.asset_materializations_for_node("operations__housekeeping")
    assert ("would_be_removed" in event.metadata) == event.metadata["dry_run"].value
    table = event.metadata.get("would_be_removed") or event.metadata["removed"]
    return {str(record.data["kind"]): record.data for record in table.records}


def made_old(days: float) -> None:
    """All runs ended that long ago."""
    with psycopg.connect(psycopg_url(os.environ["DAGSTER_POSTGRES_URL"])) as connection:
        connection.execute("UPDATE runs SET update_timestamp = update_timestamp - %s", [timedelta(days=days)])


def test_old_runs_go_and_what_the_ui_and_sensors_need_stays(world: World, dagster_home: dg.DagsterInstance):
    for month in (APRIL, APRIL, MAY):
        assert world.run("green", month, "raw_file", home=dagster_home).success
    [_, again, first] = [run.run_id for run in dagster_home.get_runs()]
    partition = {"dagster/partition": APRIL.isoformat()}
    failed, live = (
        create_run_for_test(dagster_home, job_name="green_month_job", status=status, tags=partition).run_id
        for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED)
    )
    before = {run.run_id for run in dagster_home.get_runs()}
    key = dg.AssetKey(["green", "raw_file"])
    latest = dagster_home.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    line = load_status.read(psycopg_url(os.environ["DAGSTER_POSTGRES_URL"]))

    made_old(100)
    assert told(tidy(world, dagster_home, run_days=101)) == {}
    found = told(tidy(world, dagster_home, dry_run=True, run_days=90))
    assert list(found) == ["runs"]
    assert found["runs"]["count"] == 1
    assert first in found["runs"]["names"]
    assert before <= {run.run_id for run in dagster_home.get_runs()}

    assert told(tidy(world, dagster_home, run_days=90))["runs"]["count"] == 1
    after = {run.run_id for run in dagster_home.get_runs()}
    assert before - after == {first}
    assert {again, failed, live} <= after
    assert dagster_home.get_records_for_run(first).records == []
    assert latest == dagster_home.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert load_status.read(psycopg_url(os.environ["DAGSTER_POSTGRES_URL"])) == line
    assert told(tidy(world, dagster_home, run_days=90)) == {}


def test_compute_logs_of_runs_that_stay(world: World, dagster_home: dg.DagsterInstance):
    folder = Path(os.environ["DAGSTER_LOCAL_DIR"])
    runs = [
        create_run_for_test(dagster_home, status=status).run_id
        for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED)
    ]
    for run_id in runs:
        logs = folder / run_id / "compute_logs"
        logs.mkdir(parents=True)
        (logs / "step.err").write_text("x" * 1000)
        os.utime(logs, (time.time() - YEAR,) * 2)
    found = told(tidy(world, dagster_home, compute_log_days=30))
    assert (found["compute logs"]["count"], found["compute logs"]["bytes"]) == (1, 1000)
    assert not (folder / runs[0]).exists()
    assert (folder / runs[1]).exists()
    assert dagster_home.get_run_by_id(runs[0]) is not None


def leave(world: World) -> dict[str, int]:
    """Return what killed runs leave in every place; how many of each kind."""
    assert world.run("green", MAY).success
    assert world.run("green", APRIL, "raw_file", "clean_parquet").success
    with psycopg.connect(world.postgres_url) as connection:
        connection.execute("CREATE TABLE taxi.green_trips_2020_04_staging (n int)")
    # As a run makes it, without what comes after.
    name = "green_trips__staging_202004_1700000000000000000_0123abcd"
    with world.bigquery.get_client() as client:
        client.create_table(bigquery.Table(world.bigquery._full_name(name), [bigquery.SchemaField("n", "INT64")]))
    work = world.settings.data_dir / "tmp" / "work-left"
    work.mkdir(parents=True)
    (work / "half").write_bytes(b"x" * 100)
    part = world.lake.local_path("raw/green/green_tripdata_2020-06.csv.gz.part")
    part.write_bytes(b"x")
    return {
        "BigQuery staging tables": 1,
        "PostgreSQL staging tables": 1,
        "pending objects": 2,
        "work folders": 1,
        # Raw, kept and rejected rows of May and April, and the part.
        "cached files": 7,
    }


def test_leftovers_go_from_every_place(world: World, dagster_home: dg.DagsterInstance):
    left = leave(world)
    everything = dict.fromkeys(("staging_days", "pending_days", "work_days", "cache_days"), 0.0)
    before = world.leftovers()
    assert len(before) == 6

    counts = {kind: row["count"] for kind, row in told(tidy(world, dagster_home, True, **everything)).items()}
    assert counts == left
    assert world.leftovers() == before

    # A run of the dataset is under way: all of it may be its.
    live = create_run_for_test(dagster_home, job_name="green_month_job", status=dg.DagsterRunStatus.STARTED)
    kinds = told(tidy(world, dagster_home, **everything))
    assert set(kinds) == {"work folders"}
    dagster_home.delete_run(live.run_id)

    # Nothing is of age; but PostgreSQL's own runs never leave a table, so that one is nobody's.
    young = told(tidy(world, dagster_home, **dict.fromkeys(everything, 300.0)))
    assert set(young) == {"BigQuery staging tables", "PostgreSQL staging tables"}
    assert set(told(tidy(world, dagster_home, **everything))) == {"pending objects", "cached files"}
    assert world.leftovers() == []
    assert [p for p in (world.settings.data_dir / "cache").rglob("*") if p.is_file()] == []
    # All that is needed is in the lake.
    assert world.run("green", APRIL).success
    assert world.run("green", MAY, "postgres_table").success
    totals = world.totals("green", APRIL)
    assert totals["lake"] == totals["bigquery"] == totals["postgres"]


def test_an_object_that_was_replaced_meanwhile_is_not_removed(world: World):
    assert world.run("green", APRIL, "raw_file", "clean_parquet").success
    [item] = [i for i in world.lake.list("pending/") if i.name.endswith(clean_object("green", APRIL))]
    world.lake._bucket.blob(item.name).upload_from_string("newer")
    world.lake.remove(item)
    assert world.lake.find(item.name) is not None


def test_leftovers_of_a_busy_dataset_are_recognized_with_an_underscore_in_its_name():
    busy = {"green_plus"}
    for name in ("green_plus_trips_2020_04_staging", "raw/green_plus/a.csv", "green_plus.part"):
        assert _is_of(name, busy)
    assert not _is_of("green_trips_2020_04_staging", busy)


def test_a_scratch_folder_in_use_is_left_alone(world: World, dagster_home: dg.DagsterInstance):
    with world.lake.scratch() as folder:
        assert told(tidy(world, dagster_home, work_days=0.0)) == {}
        assert folder.is_dir()


def test_the_names_of_staging_tables_are_those_that_are_made(world: World, monkeypatch: pytest.MonkeyPatch):
    seen = []
    original = bigquery_module.BigQueryWarehouse._publish

    def publish(self: Any, *arguments: Any) -> None:
        seen.append(self.staging_tables())
        original(self, *arguments)

    monkeypatch.setattr(bigquery_module.BigQueryWarehouse, "_publish", publish)
    assert world.run("green", APRIL).success
    [[(name, made)]] = [list(tables.items()) for tables in seen]
    assert "green_trips__staging_202004_" in name
    assert abs(made.timestamp() - time.time()) < 60
    assert world.bigquery.staging_tables() == {}
