"""Ticks of the sensors and schedules, evaluated here, with a real lake and a real source."""

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.ingestion.polling import LAG_MONTHS, NEW_YORK, PollingLimits, SensorState, last_ended
from taxi_assets.defs.ingestion.sensors import archived_months, build_months_sensor
from taxi_assets.defs.schedules import build_month_schedule
from taxi_assets.months import months_before, next_month
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.http_server import Fault, FileServer, serve
from taxi_assets_tests.support.versions import APRIL, version

GREEN = DATASETS["green"]
SENSOR = build_months_sensor(GREEN, PollingLimits(pace_seconds=0.0), enabled_by_default=False)
SCHEDULE = build_month_schedule(GREEN, enabled_by_default=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serve(tmp_path / "source") as running:
        yield running


def tick(world: World, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    resources = {name: world.resources[name] for name in ("source", "lake")}
    with dg.build_sensor_context(cursor=cursor, resources=resources) as context:
        found = SENSOR(context)
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    return found


def month(back: int) -> date:
    return months_before(last_ended(datetime.now(NEW_YORK).date()), back)


def requested(result: dg.SensorResult | dg.SkipReason) -> set[str | None]:
    assert isinstance(result, dg.SensorResult)
    return {request.partition_key for request in result.run_requests or []}


def reason(result: dg.SensorResult | dg.SkipReason) -> str:
    found = result.skip_reason if isinstance(result, dg.SensorResult) else result
    assert found is not None
    return (found if isinstance(found, str) else found.skip_message) or ""


def test_an_installation_with_loaded_months_is_known_from_its_lake(world: World, server: FileServer):
    """With no cursor at all: nothing that is loaded is requested, and a corrected month is."""
    world = world.with_source(server.url("/green_{month}.csv.gz"))
    server.put("green_2020-04.csv.gz", version(300).data)
    assert world.run("green", APRIL, "raw_file").success
    assert set(archived_months(world.lake, GREEN)) == {APRIL}
    first = tick(world)
    assert not requested(first)
    assert reason(first).startswith("13 months polled, 1 loaded: not published ")
    server.put("green_2020-04.csv.gz", version(301).data)
    changed = tick(world)
    assert requested(changed) == {"2020-04-01"}
    assert isinstance(changed, dg.SensorResult)
    assert not requested(tick(world, changed.cursor))
    # The cursor is lost before the run has ended: the same run is asked for, which Dagster does not do twice.
    again = tick(world, "no cursor")
    assert isinstance(again, dg.SensorResult)
    assert [r.run_key for r in again.run_requests or []] == [r.run_key for r in changed.run_requests or []]
    assert world.run("green", APRIL, "raw_file").success
    assert not requested(tick(world))


def test_a_source_that_is_down_is_left_alone_for_a_while(world: World, server: FileServer):
    world = world.with_source(server.url("/green_{month}.csv.gz"))
    path = f"/green_{month(0):%Y-%m}.csv.gz"
    server.always(path, Fault(status=429))
    down = tick(world)
    assert "answered HTTP 429" in reason(down)
    assert isinstance(down, dg.SensorResult)
    asked = len(server.seen)
    assert asked == 1
    assert "not polled until" in reason(tick(world, down.cursor))
    assert len(server.seen) == asked


def test_a_page_in_place_of_every_month_requests_nothing(world: World, server: FileServer):
    """A proxy's sign-in page with status 200, for loaded months and for new ones."""
    world = world.with_source(server.url("/green_{month}.csv.gz"))
    server.put("green_2020-04.csv.gz", version(300).data)
    assert world.run("green", APRIL, "raw_file").success
    sign_in = Fault(body=b"<html>sign in</html>", headers={"Content-Type": "text/html"})
    for found in (APRIL, *(month(back) for back in range(12))):
        server.always(f"/green_{found:%Y-%m}.csv.gz", sign_in)
    result = tick(world)
    assert not requested(result)
    assert "answered with a page" in reason(result)


def test_a_lake_that_cannot_be_read_is_reported(world: World):
    world.resources["lake"].get_client().bucket(world.settings.gcs_bucket).delete()
    assert "The source was not polled: the bucket" in reason(tick(world)).replace(": The", ": the")


def test_the_sample_publishes_every_month_and_the_newest_one_is_taken(world: World):
    first = tick(world)
    assert requested(first) == {month(0).isoformat()}
    assert isinstance(first, dg.SensorResult)
    assert SensorState.from_json(first.cursor)
    assert not requested(tick(world, first.cursor))


def test_the_schedule_takes_the_month_that_should_be_there_by_now(world: World, server: FileServer, tmp_path: Path):
    (home := tmp_path / "dagster").mkdir()
    instance = dg.DagsterInstance.local_temp(str(home))
    morning = datetime(2024, 4, 1, 6, tzinfo=NEW_YORK)
    world = world.with_source(server.url("/green_{month}.csv.gz"))

    def evaluate() -> object:
        # Ended here: a context left to the garbage collector sets Dagster's globals back in the middle of a later test.
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=morning,
            resources={name: world.resources[name] for name in ("source", "lake")},
        ) as context:
            return SCHEDULE(context)

    assert next_month(date(2024, 1, 1)) == months_before(morning.date(), LAG_MONTHS)
    late = evaluate()
    assert isinstance(late, dg.SkipReason)
    assert "green 2024-01 is not published" in (late.skip_message or "")
    server.put("green_2024-01.csv.gz", version(300, month=date(2024, 1, 1)).data)
    there = evaluate()
    assert isinstance(there, dg.RunRequest)
    assert there.partition_key == "2024-01-01"
    tags = {"dagster/partition": "2024-01-01"}
    run_id = "5f2a0f3c-0000-4000-8000-000000000000"
    instance.add_run(dg.DagsterRun("green_month_job", run_id, status=dg.DagsterRunStatus.STARTED, tags=tags))
    loading = evaluate()
    assert isinstance(loading, dg.SkipReason)
    assert loading.skip_message == "green 2024-01 is being loaded."
    instance.delete_run(run_id)
    assert world.run("green", date(2024, 1, 1), "raw_file", "clean_parquet", "gcs_object").success
    loaded = evaluate()
    assert isinstance(loaded, dg.SkipReason)
    assert loaded.skip_message == "green 2024-01 is loaded."
