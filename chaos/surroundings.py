"""Faults of what a run works with: services, connections, sessions, locks, and objects changed by hand."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random

import psutil
import psycopg

from chaos.checks import held_by_postgres
from chaos.proxy import Disturbance, Proxy
from chaos.scene import Scene
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object
from taxi_assets.resources.postgres_partition import Partition
from taxi_assets.resources.postgres_tables import SCHEMA


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


def disturbed(which: str) -> Callable[[Scene], None]:
    """Return the fault that disturbs the connections to an emulator, by its proxy."""

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
    name = scene.random.choice(list(pids))
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


def _with_children(pid: int) -> list[int]:
    process = psutil.Process(pid)
    return [pid, *(child.pid for child in process.children(recursive=True))]


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def postgres_crashed(scene: Scene) -> None:
    """Kill one process of PostgreSQL's, after which it ends all sessions, recovers and goes on."""
    [*backends] = psutil.Process(scene.stage.pids()["postgres"]).children()
    run = scene.run()
    scene.note(f"after {scene.some_time():.2f} s")
    with suppress(ProcessLookupError):
        os.kill(scene.random.choice(backends).pid, signal.SIGKILL)
    run.wait()


def month_locked(scene: Scene) -> None:
    """Hold the month's lock in PostgreSQL, as a load on another machine does; nothing may be loaded meanwhile."""
    lock = f"{SCHEMA}.{Partition(DATASETS[scene.month.dataset], scene.month.month).name}"
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(scene.stage.postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [lock])
        before = held_by_postgres(scene.stage, scene.month)
        run = scene.run()
        while not run.is_over() and connection.execute(waiting).fetchone() == (0,):
            time.sleep(0.05)
        scene.some_time(0.5)
        if run.is_over():
            scene.violations.append("a load into PostgreSQL did not wait for the lock of its month")
        if held_by_postgres(scene.stage, scene.month) != before:
            scene.violations.append("PostgreSQL was loaded while another session had the lock of the month")
    run.wait()
