"""A month materialized in a process of its own, which is killed at a given call, or waits there for another.

Processes are forked from a server that has imported everything, so that each starts at once.
"""

import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

import dagster as dg

from taxi_assets.cleaning import reading
from taxi_assets.defs.assets import common
from taxi_assets.defs.build import build_resources
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, instance
from taxi_assets_tests.support.points import Point
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

BLOCK_BYTES = 4000
REACHED = "the point is reached"

# Here and not in each process: this imports much, and takes longer than the run of a small month.
instance()

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Job:
    """A run of a green month, all of its assets or those named."""

    settings: Settings
    postgres_url: str
    templates: str
    month: date
    names: tuple[str, ...] = ()
    point: Point | None = None


def killed(job: Job) -> None:
    """Run the job in a process that kills itself at the job's point."""
    process, log = _start(job, None)
    _end(process)
    assert process.exitcode == -signal.SIGKILL, f"it ended with {process.exitcode}:\n{log.read_text()}"


def interrupted(job: Job) -> float:
    """Interrupt the job, as Ctrl-C does, while it hangs at its point. Return the seconds until it has ended."""
    process, log = _start(job, None, hang=True)
    wait_for(lambda: REACHED in log.read_text() or process.exitcode is not None, "its point", report=log.read_text)
    os.kill(process.pid, signal.SIGINT)
    started = time.monotonic()
    _end(process)
    assert process.exitcode not in (0, None), log.read_text()
    return time.monotonic() - started


def together(*jobs: Job) -> None:
    """Run the jobs at the same time; each waits at its point until all are there. All must end well."""
    barrier = _context.Barrier(len(jobs))
    started = [_start(job, barrier) for job in jobs]
    for process, _ in started:
        _end(process)
    for process, log in started:
        assert process.exitcode == 0, f"it ended with {process.exitcode}:\n{log.read_text()}"


def _start(job: Job, barrier: Any, hang: bool = False) -> tuple[Any, Path]:
    folder = job.settings.data_dir.parent
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"process-{len(list(folder.glob('process-*')))}.log"
    log.touch()
    process = _context.Process(target=_run, args=(job, str(log), barrier, hang))
    process.start()
    return process, log


def _end(process: Any) -> None:
    process.join(HANG_SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()


def _run(job: Job, log: str, barrier: Any, hang: bool) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    common.RETRIES = dg.RetryPolicy(max_retries=3)
    # A small file in several blocks, as a large one is.
    reading.BLOCK_BYTES = BLOCK_BYTES
    if job.point and hang:
        job.point.reached(_hang)
    elif job.point and barrier is None:
        job.point.reached(lambda: os.kill(os.getpid(), signal.SIGKILL))
    elif job.point:
        job.point.reached(lambda: _meet(barrier))
    resources = build_resources(job.settings) | {"postgres": PostgresWarehouse(url=job.postgres_url)}
    world = World(job.settings, resources, job.postgres_url).with_source(job.templates)
    sys.exit(0 if world.run("green", job.month, *job.names).success else 1)


def _hang() -> None:
    print(REACHED, flush=True)
    time.sleep(HANG_SECONDS)


def _meet(barrier: Any) -> None:
    with suppress(BrokenBarrierError):
        barrier.wait(HANG_SECONDS / 4)
