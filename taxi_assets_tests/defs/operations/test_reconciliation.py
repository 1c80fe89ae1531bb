"""The daily comparison on real places, and the repairs that it leads to."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.ingestion.polling import NEW_YORK, PollingLimits, last_ended
from taxi_assets.defs.operations import reconciliation
from taxi_assets.defs.operations.reconciliation import FRESH, build_reconciliation_asset, build_repair_sensor
from taxi_assets.months import month_text, months_before
from taxi_assets.runtime.names import reconciliation_key
from taxi_assets_tests.conftest import World, changed, failure
from taxi_assets_tests.support.http_server import Fault, FileServer, serve
from taxi_assets_tests.support.versions import version

GREEN = DATASETS["green"]
KEY = dg.AssetKey(reconciliation_key("green"))
SENSOR = build_repair_sensor(GREEN, enabled_by_default=False)
NEWEST = last_ended(datetime.now(NEW_YORK).date())
# Newest first, as months appear: the first is not published yet.
M1, M2, M3, M4 = (months_before(NEWEST, back) for back in range(1, 5))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serve(tmp_path / "source") as running:
        yield running


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def publish(server: FileServer, *months: date) -> None:
    for month in months:
        server.put(f"green_{month_text(month)}.csv", version(120, "csv", month).data)


def reconcile(world: World, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [build_reconciliation_asset(GREEN, PollingLimits(pace_seconds=0.0))],
        resources=world.resources,
        instance=instance,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        raise_on_error=False,
    )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    assert result.success
    [event] = result.asset_materializations_for_node("operations__green_reconciliation")
    return dict(event.metadata)


def differences(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {str(r.data["month"]): str(r.data["finding"]) for r in metadata(result)["differences"].records}


def freshness(result: dg.ExecuteInProcessResult) -> tuple[bool, dg.AssetCheckSeverity]:
    [check] = result.get_asset_check_evaluations()
    assert check.check_name == FRESH
    return check.passed, check.severity


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[dg.SensorResult | dg.SkipReason, str | None]:
    found = SENSOR(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found, found.cursor if isinstance(found, dg.SensorResult) else cursor


def requested(found: dg.SensorResult | dg.SkipReason) -> list[str]:
    return [str(r.partition_key) for r in found.run_requests or []] if isinstance(found, dg.SensorResult) else []


def test_what_is_missing_is_found_requested_and_repaired(
    world: World, server: FileServer, instance: dg.DagsterInstance
):
    world = world.with_source(server.url("/green_{month}.csv"))
    assert requested(tick(instance)[0]) == []
    empty = reconcile(world, instance)
    assert differences(empty) == {}
    assert freshness(empty)[0]

    publish(server, M2, M3, M4)
    for month in (M2, M3, M4):
        assert world.run("green", month).success
    server.seen.clear()
    equal = reconcile(world, instance)
    assert differences(equal) == {}
    assert freshness(equal)[0]
    assert metadata(equal)["months_loaded"].value == 3
    # Only what is not in the lake was asked for.
    assert {seen.path for seen in server.seen} == {f"/green_{month_text(m)}.csv" for m in (NEWEST, M1)}

    publish(server, M1)
    rows = world.postgres.month_rows(GREEN)[M3]
    with psycopg.connect(world.postgres_url) as connection:
        connection.execute("DELETE FROM taxi.green_trips WHERE source_month = %s", [M2])
    with world.bigquery.get_client() as client:
        client.query(f"DELETE FROM `{world.bigquery.table(GREEN)}` WHERE source_month = '{M3}'").result()
    world.lake._bucket.blob(clean_object("green", M4)).delete()
    result = reconcile(world, instance)
    assert differences(result) == {
        month_text(M1): "published, but not loaded",
        month_text(M2): "missing in PostgreSQL",
        month_text(M3): "missing in BigQuery",
        month_text(M4): f"not in the lake, but {rows} rows in BigQuery and {rows} rows in PostgreSQL",
    }
    # No month is everywhere: that fails; one behind only warns, as is seen below.
    assert freshness(result) == (False, dg.AssetCheckSeverity.ERROR)

    found, cursor = tick(instance)
    assert requested(found) == [month.isoformat() for month in (M1, M2, M3, M4)]
    assert isinstance(found, dg.SensorResult)
    keys = {request.run_key for request in found.run_requests or []}
    assert len(keys) == 4
    # The cursor is lost: the same run keys, which Dagster does not run twice.
    again, _ = tick(instance, "lost")
    assert isinstance(again, dg.SensorResult)
    assert {request.run_key for request in again.run_requests or []} == keys
    assert requested(tick(instance, cursor)[0]) == []

    for partition in requested(found)[1:]:
        assert world.run("green", date.fromisoformat(partition)).success
    warned = reconcile(world, instance)
    assert differences(warned) == {month_text(M1): "published, but not loaded"}
    assert freshness(warned) == (False, dg.AssetCheckSeverity.WARN)
    assert world.run("green", M1).success
    assert differences(reconcile(world, instance)) == {}


def test_a_source_that_is_down_ends_the_looking_and_is_told(
    world: World, server: FileServer, instance: dg.DagsterInstance
):
    world = world.with_source(server.url("/green_{month}.csv"))
    publish(server, M3)
    assert world.run("green", M3).success
    server.seen.clear()
    server.always(f"/green_{month_text(NEWEST)}.csv", Fault(status=503))
    result = reconcile(world, instance)
    assert len(server.seen) == 1
    asked = metadata(result)["source_asked"].value
    assert "ended early: " in asked
    assert "503" in asked
    assert differences(result) == {}
    assert freshness(result)[0]


def test_a_place_that_is_down_fails_the_comparison_in_a_sentence(world: World, instance: dg.DagsterInstance):
    world.resources["postgres"] = changed(world.postgres, url="postgresql://u@127.0.0.1:1/d")
    assert "PostgreSQL does not answer" in failure(reconcile(world, instance))


def found_missing(instance: dg.DagsterInstance, *months: date) -> None:
    repairs = {month.isoformat(): "missing in BigQuery" for month in months}
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, metadata={"repairs": repairs}))


def run(instance: dg.DagsterInstance, month: date, status: dg.DagsterRunStatus, lineage: bool = False) -> None:
    instance.add_run(
        dg.DagsterRun(
            job_name="__ASSET_JOB" if lineage else "green_month_job",
            asset_selection=frozenset({dg.AssetKey(["green", "raw_file"])}) if lineage else None,
            tags={"dagster/partition": month.isoformat()},
            status=status,
        )
    )


def test_a_month_that_is_being_loaded_is_not_requested(instance: dg.DagsterInstance):
    found_missing(instance, M1, M2, M3, M4)
    run(instance, M1, dg.DagsterRunStatus.STARTING)
    run(instance, M2, dg.DagsterRunStatus.STARTED, lineage=True)
    run(instance, M3, dg.DagsterRunStatus.FAILURE)
    found, cursor = tick(instance)
    assert requested(found) == [M3.isoformat(), M4.isoformat()]
    # Loaded since by somebody: nothing is left to request once the runs have ended.
    for name in ("bigquery_table", "postgres_table"):
        for month in (M1, M2):
            event = dg.AssetMaterialization(dg.AssetKey(["green", name]), partition=month.isoformat())
            instance.report_runless_asset_event(event)
    for record in instance.get_runs():
        instance.delete_run(record.run_id)
    assert requested(tick(instance, cursor)[0]) == []


def test_a_repair_that_failed_is_requested_again_after_the_next_comparison(instance: dg.DagsterInstance):
    found_missing(instance, M1)
    found, cursor = tick(instance)
    assert isinstance(found, dg.SensorResult)
    [first] = found.run_requests or []
    run(instance, M1, dg.DagsterRunStatus.FAILURE)
    assert requested(tick(instance, cursor)[0]) == []
    found_missing(instance, M1)
    found, cursor = tick(instance, cursor)
    assert isinstance(found, dg.SensorResult)
    [second] = found.run_requests or []
    assert first.run_key != second.run_key
    assert requested(tick(instance, cursor)[0]) == []


def test_a_lost_warehouse_does_not_fill_the_queue(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reconciliation, "MAX_REPAIRS", 3)
    found_missing(instance, *(months_before(NEWEST, back) for back in range(5)))
    found, cursor = tick(instance)
    assert len(requested(found)) == 3
    for partition in requested(found):
        tags = {"dagster/partition": partition, reconciliation.REPAIR_TAG: "missing"}
        instance.add_run(dg.DagsterRun(job_name="green_month_job", tags=tags, status=dg.DagsterRunStatus.STARTING))
    waiting, cursor = tick(instance, cursor)
    assert requested(waiting) == []
    for record in instance.get_runs():
        instance.delete_run(record.run_id)
    assert len(requested(tick(instance, cursor)[0])) == 2
