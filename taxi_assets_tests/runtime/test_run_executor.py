"""Loads into different warehouses run at the same time, each a step of its own; all other steps one by one."""

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from taxi_assets.defs.build import build_executor
from taxi_assets.runtime.run_executor import run_executor
from taxi_assets.settings import Settings
from taxi_assets_tests.support.waiting import HANG_SECONDS

# What the assets of a test do, by name: a run builds its job anew.
DO: dict[str, Callable[[Any], None]] = {}


def build_job() -> dg.JobDefinition:
    """Build a job of four assets: an object, two loads of it, and what depends on one of them."""

    def build(name: str, pool: str | None = None, after: tuple[str, ...] = ()) -> dg.AssetsDefinition:
        @dg.asset(name=name, pool=pool, deps=list(after), check_specs=[dg.AssetCheckSpec("is_right", asset=name)])
        def made(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
            DO.get(name, lambda _: None)(context)
            return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])

        return made

    loads = [build(f"{name}_table", name, ("lake_object",)) for name in ("bigquery", "postgres")]
    assets = [build("lake_object"), *loads, build("mart", None, ("bigquery_table",))]
    definitions = dg.Definitions(assets, jobs=[dg.define_asset_job("month")], executor=run_executor)
    return definitions.resolve_job_def("month")


@pytest.fixture(autouse=True)
def nothing_to_do() -> None:
    DO.clear()


def run() -> dg.JobExecutionResult:
    with dg.instance_for_test() as instance, dg.execute_job(dg.reconstructable(build_job), instance) as result:
        _ = result.all_events
        return result


def materialized(result: dg.JobExecutionResult) -> list[str]:
    return sorted(event.step_key or "" for event in result.all_events if event.is_step_materialization)


def test_loads_run_at_the_same_time_each_with_its_events_and_checks():
    meeting = threading.Barrier(2)
    threads: dict[str, threading.Thread] = {}

    def meet(context: dg.AssetExecutionContext) -> None:
        meeting.wait(HANG_SECONDS)
        threads[context.op_execution_context.op.name] = threading.current_thread()

    def alone(context: dg.AssetExecutionContext) -> None:
        threads[context.op_execution_context.op.name] = threading.current_thread()

    DO.update(bigquery_table=meet, postgres_table=meet, lake_object=alone, mart=alone)
    result = run()
    assert result.success
    assert materialized(result) == ["bigquery_table", "lake_object", "mart", "postgres_table"]
    checked = {e.step_key for e in result.all_events if e.event_type is dg.DagsterEventType.ASSET_CHECK_EVALUATION}
    assert checked == {"bigquery_table", "lake_object", "mart", "postgres_table"}
    main = threading.main_thread()
    assert {name for name, thread in threads.items() if thread is main} == {"lake_object", "mart"}


def test_a_load_that_fails_leaves_the_other():
    def fail(_: Any) -> None:
        raise dg.Failure("no such table", allow_retries=False)

    DO.update(bigquery_table=fail)
    result = run()
    assert not result.success
    assert materialized(result) == ["lake_object", "postgres_table"]
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert failed.step_key == "bigquery_table"
    assert "no such table" in str(failed.step_failure_data.user_failure_data)


def test_a_load_is_retried_by_itself():
    counts = {"bigquery_table": 0, "postgres_table": 0}

    def count(context: dg.AssetExecutionContext) -> None:
        name = context.op_execution_context.op.name
        counts[name] += 1
        if name == "postgres_table" and counts[name] < 3:
            raise dg.RetryRequested(max_retries=3)

    DO.update(bigquery_table=count, postgres_table=count)
    result = run()
    assert result.success
    assert counts == {"bigquery_table": 1, "postgres_table": 3}
    assert sum(event.is_step_up_for_retry for event in result.all_events) == 2


def test_an_interrupt_ends_both_loads_without_a_retry():
    meeting = threading.Barrier(2)
    ended: list[str] = []

    def hang(context: dg.AssetExecutionContext) -> None:
        name = context.op_execution_context.op.name
        if meeting.wait(HANG_SECONDS) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        try:
            while True:
                time.sleep(0.01)
        finally:
            ended.append(name)

    DO.update(bigquery_table=hang, postgres_table=hang)
    with dg.instance_for_test() as instance:
        assert not dg.execute_job(dg.reconstructable(build_job), instance).success
        [found] = instance.get_runs()
        events = [record.dagster_event for record in instance.all_logs(found.run_id) if record.dagster_event]
    assert found.is_finished
    assert not found.is_success
    assert sorted(ended) == ["bigquery_table", "postgres_table"]
    assert {event.step_key for event in events if event.is_step_failure} == {"bigquery_table", "postgres_table"}
    assert not any(event.is_step_up_for_retry for event in events)
    assert [event.step_key for event in events if event.is_step_materialization] == ["lake_object"]


def test_an_interrupt_does_not_wait_for_a_load_that_waits_for_its_server():
    meeting, answer = threading.Barrier(2), threading.Event()

    def wait(context: dg.AssetExecutionContext) -> None:
        if meeting.wait(HANG_SECONDS) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        # As in a call of a client, no interrupt reaches the thread here.
        answer.wait(HANG_SECONDS)

    DO.update(bigquery_table=wait, postgres_table=wait)
    with dg.instance_for_test() as instance:
        storage = instance.event_log_storage
        for pool in ("bigquery", "postgres"):
            storage.set_concurrency_slots(pool, 1)
        assert not dg.execute_job(dg.reconstructable(build_job), instance).success
        assert not answer.is_set()
        assert [storage.get_concurrency_info(pool).active_slot_count for pool in ("bigquery", "postgres")] == [0, 0]
        answer.set()
        for thread in threading.enumerate():
            if thread.name in ("bigquery_table", "postgres_table"):
                thread.join(HANG_SECONDS)
        [found] = instance.get_runs()
        events = instance.all_logs(found.run_id, dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert [event.step_key for event in events] == ["lake_object"]


def test_runs_that_take_their_steps_themselves_use_it():
    assert build_executor(Settings.from_environment({})) is run_executor
