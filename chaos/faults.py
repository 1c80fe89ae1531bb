"""The faults: each acts on a month whose source has just published another version, and starts the runs it disturbs.

A fault returns when its runs have ended. It may leave anything behind but a wrong month; a rerun follows.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import psutil
import psycopg

from chaos.months import Month
from chaos.proxy import Disturbance, Proxy
from chaos.runs import Point, Run, Runner
from chaos.stage import Stage
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object
from taxi_assets_tests.support.http_server import Fault

# About what a small month takes from its start to its end.
RUN_SECONDS = 2.5

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
# Where files of ours are written.
WRITES = {
    "taxi_assets.download.fetch:PartFile.write": 2,
    "pyarrow.parquet:ParquetWriter.write_batch": 2,
    "taxi_assets.resources.lake:LakeResource.put": 3,
    "tempfile:mkdtemp": 3,
}


@dataclass
class Scene:
    """What a fault works with; `detail` collects what it did, in a few words."""

    stage: Stage
    runner: Runner
    random: Random
    month: Month
    old: int
    new: int
    detail: list[str]
    runs: list[Run]

    def run(self, point: Point | None = None) -> Run:
        """Start a run of the month."""
        run = self.runner.start(self.month, self.new, point)
        self.runs.append(run)
        return run

    def some_time(self, longest: float = RUN_SECONDS) -> float:
        """Sleep for a random time within a run; return it."""
        seconds = self.random.uniform(0, longest)
        time.sleep(seconds)
        return seconds

    def note(self, text: str) -> None:
        """Add to the detail."""
        self.detail.append(text)


def random_point(scene: Scene, act: str, calls: Mapping[str, int] = CALLS) -> Point:
    """Return a random moment in a run."""
    function = scene.random.choice(list(calls))
    point = Point(function, scene.random.randint(1, calls[function]), scene.random.random() < 0.5, act)
    scene.note(str(point))
    return point


def _signal_at_random_time(number: signal.Signals) -> Callable[[Scene], None]:
    def fault(scene: Scene) -> None:
        run = scene.run()
        scene.note(f"after {scene.some_time():.2f} s")
        run.send(number)
        run.wait()

    return fault


def _at_random_call(act: str, calls: Mapping[str, int] = CALLS) -> Callable[[Scene], None]:
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
    point = random_point(scene, "pause")
    late = scene.run(point)
    _wait_until_stopped(late)
    others = [version for version in range(len(scene.month.versions)) if version != scene.new]
    scene.new = scene.random.choice(others)
    scene.stage.publish(scene.month, scene.new)
    newer = scene.run()
    # The older run may hold a lock that the newer one waits for.
    newer.wait(5)
    late.send(signal.SIGCONT)
    newer.wait()
    late.wait()


def three_at_once(scene: Scene) -> None:
    """Run the month three times at once while the source changes."""
    runs = [scene.run()]
    scene.some_time(1)
    scene.new = scene.random.choice([v for v in range(len(scene.month.versions)) if v != scene.new])
    scene.stage.publish(scene.month, scene.new)
    runs += [scene.run(), scene.run(random_point(scene, "kill"))]
    for run in runs:
        run.wait()


def source_changes_between_requests(scene: Scene) -> None:
    """Change the file at the source during the run."""
    run = scene.run()
    scene.some_time(1)
    scene.new = scene.random.choice([v for v in range(len(scene.month.versions)) if v != scene.new])
    scene.stage.publish(scene.month, scene.new)
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


def sessions_ended(scene: Scene) -> None:
    """End sessions that the run has in PostgreSQL, of the warehouse or of Dagster, as soon as they are seen."""
    run = scene.run()
    database = scene.random.choice(["taxi", "taxi", "dagster"])
    wanted, ended = scene.random.randint(1, 3), 0
    scene.some_time(0.5)
    query = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = %s AND pid <> pg_backend_pid() AND (datname <> 'taxi' OR application_name = 'taxi_assets')
    """
    with psycopg.connect(scene.stage.settings.local_postgres_url("postgres"), autocommit=True) as connection:
        while ended < wanted and not run.is_over():
            [(seen,)] = connection.execute(query, [database]).fetchall()
            ended += bool(seen)
            time.sleep(scene.random.uniform(0.01, 0.3) if seen else 0.01)
    scene.note(f"{ended} times in {database}")
    run.wait()


def _disturbed(which: str) -> Callable[[Scene], None]:
    def fault(scene: Scene) -> None:
        proxy: Proxy = getattr(scene.stage, f"{which}_proxy")
        run = scene.run()
        for _ in range(scene.random.randint(1, 3)):
            scene.some_time(1.5)
            planned = [_disturbance(scene.random) for _ in range(scene.random.randint(1, 4))]
            scene.note(", ".join(map(_named, planned)))
            proxy.disturb(*planned)
        run.wait()

    return fault


def _disturbance(random: Random) -> Disturbance:
    kinds = [
        Disturbance(cut_request=random.randint(0, 20_000)),
        Disturbance(cut_response=random.randint(1, 500)),
        Disturbance(cut_response=0),
        Disturbance(delay=random.uniform(0.1, 1.0)),
        Disturbance(status=503),
        Disturbance(status=500, reason="internalError"),
        Disturbance(status=429, reason="rateLimitExceeded"),
        Disturbance(status=403, reason="quotaExceeded"),
        Disturbance(status=403, reason="rateLimitExceeded"),
    ]
    return random.choice(kinds)


def _named(planned: Disturbance) -> str:
    if planned.status is not None:
        return f"{planned.status} {planned.reason}"
    if planned.delay:
        return f"delay {planned.delay:.1f} s"
    if planned.cut_request is not None:
        return f"reset after {planned.cut_request} bytes sent"
    return f"reset after {planned.cut_response} bytes received"


def service_paused(scene: Scene) -> None:
    """Stop a service for a moment, without ending it."""
    name = scene.random.choice(["postgres", "gcs", "bigquery"])
    group = _with_children(scene.stage.pids()[name])
    run = scene.run()
    scene.note(f"{name} after {scene.some_time():.2f} s")
    try:
        _signal_all(group, signal.SIGSTOP)
        time.sleep(scene.random.uniform(0.2, 1.5))
    finally:
        _signal_all(group, signal.SIGCONT)
    run.wait()


def service_killed(scene: Scene) -> None:
    """Kill a service or the supervisor; then `taxi up` again, as a user would."""
    pids = scene.stage.pids()
    name = scene.random.choice([n for n in pids if n not in ("webserver", "daemon")])
    run = scene.run()
    scene.note(f"{name} after {scene.some_time():.2f} s")
    with suppress(ProcessLookupError):
        os.kill(pids[name], signal.SIGKILL)
    run.wait()
    scene.stage.up_again()


def objects_changed_by_hand(scene: Scene) -> None:
    """Delete or overwrite one of the month's objects in the lake during the run."""
    dataset, month = scene.month.dataset, scene.month.month
    names = [clean_object(dataset, month), rejected_object(dataset, month)]
    name = scene.random.choice([*names, *(PENDING + name for name in names)])
    deleted = scene.random.random() < 0.5
    run = scene.run()
    scene.note(f"{name} {'deleted' if deleted else 'overwritten'} after {scene.some_time():.2f} s")
    blob = scene.stage.lake.get_client().bucket(scene.stage.lake.bucket).blob(name)
    if blob.exists():
        if deleted:
            blob.delete()
        else:
            blob.upload_from_string(b"not a Parquet file")
    run.wait()


def _wait_until_stopped(run: Run) -> None:
    """Return when the run has paused itself, or has ended without reaching that moment."""
    deadline = time.monotonic() + 30
    while not run.is_over() and time.monotonic() < deadline:
        with suppress(psutil.Error):
            if psutil.Process(run.process.pid).status() == psutil.STATUS_STOPPED:
                return
        time.sleep(0.02)


def _with_children(pid: int) -> list[int]:
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `weight` is how often it is drawn; with `outage`, readers may meet errors and gaps."""

    act: Callable[[Scene], None]
    weight: int
    outage: bool = False
    by_hand: bool = False


KINDS: Mapping[str, Kind] = {
    "SIGKILL at a random call": Kind(_at_random_call("kill"), 20),
    "SIGKILL at a random time": Kind(_signal_at_random_time(signal.SIGKILL), 10),
    "SIGTERM at a random time": Kind(_signal_at_random_time(signal.SIGTERM), 4),
    "SIGINT at a random time": Kind(_signal_at_random_time(signal.SIGINT), 4),
    "SIGINT at a random call": Kind(_at_random_call("interrupt"), 4),
    "killed twice, and the source reverts": Kind(killed_twice_and_reverted, 8),
    "paused": Kind(paused, 3),
    "two runs at once": Kind(two_at_once, 6),
    "two at once, one killed": Kind(two_at_once_one_killed, 6),
    "three at once, the source changes": Kind(three_at_once, 4),
    "older run late": Kind(older_run_late, 10),
    "source changes between requests": Kind(source_changes_between_requests, 5),
    "source fails": Kind(source_fails, 6),
    "disk full": Kind(_at_random_call("disk-full", WRITES), 5),
    "read-only disk": Kind(_at_random_call("read-only", WRITES), 3),
    "PostgreSQL sessions ended": Kind(sessions_ended, 6, outage=True),
    "storage disturbed": Kind(_disturbed("gcs"), 6),
    "BigQuery disturbed": Kind(_disturbed("bigquery"), 6),
    "service paused": Kind(service_paused, 4),
    "service killed": Kind(service_killed, 2, outage=True),
    "object changed by hand": Kind(objects_changed_by_hand, 4, outage=True, by_hand=True),
}
