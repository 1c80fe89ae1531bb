"""Runs that nobody launched are known by their process: one that was killed fails, and gives its places back."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from taxi_assets.runtime import run_process
from taxi_assets.runtime.dagster_internals import WorkerStatus
from taxi_assets.runtime.launcher import WatchfulRunLauncher


@dg.job
def nothing() -> None:
    """Do nothing."""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """Start a process that prints its tags and lives until it is killed."""
    code = "import json; from taxi_assets.runtime import run_process; print(json.dumps(run_process.tags())); input()"
    command = [sys.executable, "-u", "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as found:
        yield found
        found.kill()


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    launcher = {"module": WatchfulRunLauncher.__module__, "class": WatchfulRunLauncher.__name__}
    with dg.instance_for_test(overrides={"run_launcher": launcher}) as instance:
        yield instance


def run_with(instance: dg.DagsterInstance, tags: dict[str, str]) -> dg.DagsterRun:
    """Make a run in progress that holds a place in a pool of its own."""
    run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.event_log_storage.set_concurrency_slots(run.run_id, 2)
    assert instance.event_log_storage.claim_concurrency_slot(run.run_id, run.run_id, "step").is_claimed
    return run


def check(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[WorkerStatus, int]:
    """Return what the check finds, and how many places are taken then."""
    found = instance.run_launcher.check_run_worker_health(run).status
    return found, instance.event_log_storage.get_concurrency_info(run.run_id).active_slot_count


def test_a_killed_process_frees_its_places_and_a_live_one_keeps_them(
    instance: dg.DagsterInstance, child: subprocess.Popen[str]
):
    assert child.stdout
    run = run_with(instance, json.loads(child.stdout.readline()))
    assert check(instance, run) == (WorkerStatus.RUNNING, 1)
    child.kill()
    # Not yet waited for, so it has a number still.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert check(instance, run) == (WorkerStatus.FAILED, 0)
    child.wait()
    assert check(instance, run) == (WorkerStatus.FAILED, 0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"started": "1"}, WorkerStatus.FAILED),
        ({"host": "another"}, WorkerStatus.RUNNING),
        ({"boot": "another"}, WorkerStatus.RUNNING),
        ({"container": "another"}, WorkerStatus.RUNNING),
        ({"pid": "none"}, WorkerStatus.RUNNING),
    ],
)
def test_a_number_that_was_given_again_and_other_machines(
    instance: dg.DagsterInstance, change: dict[str, Any], expected: WorkerStatus
):
    tag = json.loads(run_process.tags()[run_process.TAG]) | change
    run = run_with(instance, {run_process.TAG: json.dumps(tag)})
    assert check(instance, run)[0] is expected


@pytest.mark.parametrize("tags", [{}, {run_process.TAG: "?"}, {run_process.TAG: "[]"}])
def test_a_run_without_a_readable_tag_counts_as_running(instance: dg.DagsterInstance, tags: dict[str, str]):
    assert check(instance, run_with(instance, tags)) == (WorkerStatus.RUNNING, 1)
