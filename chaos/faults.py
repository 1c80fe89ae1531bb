"""Faults of the runs themselves and of their source.

Each fault acts on a month whose source has just published another version, and starts the runs it disturbs. It returns
when they have ended. It may leave anything behind but a wrong month; a rerun follows.
"""

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

import psutil
import psycopg

from chaos.alterations import HOW, WAREHOUSES, Alteration
from chaos.moments import Point
from chaos.runs import Run
from chaos.scene import Scene
from taxi_assets_tests.support.http_server import Fault

# Calls on a month's way, with about how many of them a small month has: a random one of them is anywhere in it.
CALLS = {
    "taxi_assets.resources.source:SourceResource.fetch": 1,
    "taxi_assets.download.fetch:PartFile.write": 2,
    "taxi_assets.cleaning.clean_file:_count": 1,
    "taxi_assets.resources.lake:LakeResource.find": 8,
    "taxi_assets.resources.lake:LakeResource.put": 3,
    "taxi_assets.resources.lake:LakeResource.promote": 2,
    "taxi_assets.resources.lake:LakeResource.fetch": 1,
    "google.cloud.storage:Blob.reload": 3,
    "taxi_assets.resources.bigquery:BigQueryWarehouse.replace_month": 1,
    "taxi_assets.resources.bigquery:BigQueryWarehouse._totals": 1,
    "taxi_assets.resources.bigquery:BigQueryWarehouse._publish": 1,
    "taxi_assets.resources.postgres:PostgresWarehouse.replace_month": 1,
    "taxi_assets.resources.postgres_partition:_swap": 1,
    "psycopg:Copy.write": 3,
    "psycopg:Cursor.execute": 10,
    "dagster._core.storage.event_log:SqlEventLogStorage.store_event": 60,
}
# The checks that a run is not older than what it is about to replace: right after one is the worst time to be late.
CHECKS = {
    "taxi_assets.defs.assets.clean_parquet:is_newest": 1,
    "taxi_assets.defs.assets.gcs_object:is_newest": 2,
    "taxi_assets.resources.lake:LakeFile.check_published": 4,
}
# Where files of ours are written.
WRITES = {
    "taxi_assets.download.fetch:PartFile.write": 2,
    "pyarrow.parquet:ParquetWriter.write_batch": 2,
    "taxi_assets.resources.lake:LakeResource.put": 3,
    "tempfile:mkdtemp": 3,
}
# Statements in PostgreSQL, the warehouse's and those of Dagster's storage.
STATEMENTS = {"psycopg:Cursor.execute": 40, "psycopg:Copy.write": 3}


def random_point(scene: Scene, act: str, calls: Mapping[str, int] = CALLS, after: bool | None = None) -> Point:
    """Return a random moment in a run, before or `after` one of the calls."""
    function = scene.random.choice(list(calls))
    after = scene.random.random() < 0.5 if after is None else after
    point = Point(function, scene.random.randint(1, calls[function]), after, act)
    scene.note(str(point))
    return point


def signal_at_random_time(number: signal.Signals) -> Callable[[Scene], None]:
    """Return the fault that sends a signal to a run at a random time."""

    def fault(scene: Scene) -> None:
        run = scene.run()
        scene.note(f"after {scene.some_time():.2f} s")
        run.send(number)
        run.wait()

    return fault


def at_random_call(act: str, calls: Mapping[str, int] = CALLS) -> Callable[[Scene], None]:
    """Return the fault that acts in a run at a random call."""

    def fault(scene: Scene) -> None:
        scene.run(random_point(scene, act, calls)).wait()

    return fault


def killed_twice_and_reverted(scene: Scene) -> None:
    """Kill two runs, after which the source takes its change back."""
    for _ in range(2):
        scene.run(random_point(scene, "kill")).wait()
    scene.stage.publish(scene.month, scene.old)
    scene.new = scene.old


def paused(scene: Scene) -> None:
    """Pause a run for a moment."""
    run = scene.run()
    scene.some_time()
    run.send(signal.SIGSTOP)
    time.sleep(1)
    run.send(signal.SIGCONT)
    run.wait()


def two_at_once(scene: Scene) -> None:
    """Run the month twice at once."""
    first, second = scene.run(), scene.run()
    first.wait()
    second.wait()


def two_at_once_one_killed(scene: Scene) -> None:
    """Run the month twice at once, and kill one of them."""
    second = scene.run(random_point(scene, "kill"))
    first = scene.run()
    second.wait()
    first.wait()


def older_run_late(scene: Scene) -> None:
    """Pause a run somewhere, publish a newer file and load it, then let the older run go on."""
    after_check = scene.random.random() < 2 / 3
    point = random_point(scene, "pause", CHECKS, after=True) if after_check else random_point(scene, "pause")
    late = scene.run(point)
    _wait_until_stopped(late)
    scene.change_source()
    newer = scene.run()
    _wait_until_over_or_blocked(scene, newer)
    late.send(signal.SIGCONT)
    newer.wait()
    late.wait()


def three_at_once(scene: Scene) -> None:
    """Run the month three times at once while the source changes."""
    runs = [scene.run()]
    scene.some_time(1)
    scene.change_source()
    runs += [scene.run(), scene.run(random_point(scene, "kill"))]
    for run in runs:
        run.wait()


def source_changes_between_requests(scene: Scene) -> None:
    """Change the file at the source during the run."""
    run = scene.run()
    scene.some_time(1)
    scene.change_source()
    run.wait()


def source_fails(scene: Scene) -> None:
    """Let the source answer with a burst of errors, cut files or pages."""
    faults = {
        "503": Fault(status=503, retry_after="1"),
        "429": Fault(status=429, retry_after="1"),
        "500": Fault(status=500),
        "403": Fault(status=403),
        "404": Fault(status=404),
        "cut": Fault(cut_after=scene.random.randint(0, 5_000)),
        "page": Fault(body=b"<html>please sign in</html>"),
        "wrong range": Fault(wrong_range=True),
        "no etag": Fault(no_etag=True, no_last_modified=True),
        "chunked": Fault(chunked=True),
    }
    chosen = [scene.random.choice(list(faults)) for _ in range(scene.random.randint(1, 3))]
    scene.note(", ".join(chosen))
    scene.stage.server.plan(f"/{scene.month.file_name}", *(faults[name] for name in chosen))
    scene.run().wait()


def _wait_until_over_or_blocked(scene: Scene, run: Run) -> None:
    """Return when a run has ended, or waits for what a paused one holds: a lock of PostgreSQL's, or of a file."""
    blocked, deadline = 0, time.monotonic() + 30
    query = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
    with psycopg.connect(scene.stage.postgres_url, autocommit=True) as connection:
        while not run.is_over() and blocked < 3 and time.monotonic() < deadline:
            # Those that wait for a moment only are not blocked.
            blocked = 0 if connection.execute(query).fetchone() == (0,) else blocked + 1
            time.sleep(0.2)


def row_altered(scene: Scene) -> None:
    """Lose, double or change a row between the lake and a staging table."""
    alteration = Alteration(scene.month.dataset, scene.random.choice(WAREHOUSES), scene.random.choice(HOW))
    scene.note(str(alteration))
    scene.run(alteration).wait()


def clock_steps(scene: Scene) -> None:
    """Set the run's clock forward or back by up to a year at a random call."""
    step = scene.random.choice([-1, 1]) * scene.random.choice([1, 3_600, 86_400, 365 * 86_400])
    point = random_point(scene, "step-clock")
    scene.note(f"by {step} s")
    scene.run(replace(point, step=step)).wait()


def _wait_until_stopped(run: Run) -> None:
    """Return when the run has paused itself, or has ended without reaching that moment."""
    deadline = time.monotonic() + 30
    while not run.is_over() and time.monotonic() < deadline:
        with suppress(psutil.Error):
            if psutil.Process(run.process.pid).status() == psutil.STATUS_STOPPED:
                return
        time.sleep(0.02)
