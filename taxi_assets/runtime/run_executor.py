"""The executor of a run that takes its steps itself: one after the other, but the loads into warehouses side by side.

Dagster's in-process executor takes one step at a time; its multiprocess executor starts a process for each. A load
waits for its server most of the time, so a thread is enough, and memory grows by the buffers of one load. Each load is
a step of its own, with its events, checks and retries. All other steps run in the main thread.
"""

import ctypes
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import dagster as dg

from taxi_assets.resources.warehouse import WAREHOUSES
from taxi_assets.runtime import run_process
from taxi_assets.runtime.dagster_internals import (
    ActiveExecution,
    DagsterExecutionInterruptedError,
    EngineEventData,
    ExecuteRunWithPlanIterable,
    ExecutionPlan,
    ExecutionStep,
    InstanceConcurrencyContext,
    PlanExecutionContext,
    PlanExecutionContextManager,
    PlanOrchestrationContext,
    RetryMode,
    create_compute_log_file_key,
    dagster_event_sequence_for_step,
    pop_captured_interrupt,
    serializable_error_info_from_exc_info,
    trigger_hook,
)

LOOK_SECONDS = 0.2
# A load that does not end by then waits for its server. The end of the process ends its connection and transaction.
INTERRUPT_SECONDS = 2.0


@dg.executor(name="in_process")
def run_executor(_: Any) -> dg.Executor:
    """Execute the steps in the run's process, loads into different warehouses at the same time."""
    return RunExecutor()


class RunExecutor(dg.Executor):
    """Dagster's in-process executor with another order of steps."""

    @property
    def retries(self) -> RetryMode:
        """Return that steps may be retried."""
        return RetryMode.ENABLED

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Execute the plan and yield its events."""
        pid = os.getpid()
        plan_context.instance.add_run_tags(plan_context.run_id, run_process.tags())
        about = EngineEventData.in_process(pid, execution_plan.step_keys_to_execute)
        yield dg.DagsterEvent.engine_event(plan_context, f"Executing steps in process (pid: {pid})", about)
        context = PlanExecutionContextManager(
            job=plan_context.job,
            retry_mode=plan_context.retry_mode,
            execution_plan=plan_context.execution_plan,
            run_config=plan_context.run_config,
            dagster_run=plan_context.dagster_run,
            instance=plan_context.instance,
            raise_on_error=plan_context.raise_on_error,
            output_capture=plan_context.output_capture,
            step_dependency_config=self.step_dependency_config,
        )
        yield from ExecuteRunWithPlanIterable(
            execution_plan=plan_context.execution_plan, iterator=_execute, execution_context_manager=context
        )
        yield dg.DagsterEvent.engine_event(plan_context, f"Finished steps in process (pid: {pid})", about)


def _execute(job_context: PlanExecutionContext, execution_plan: ExecutionPlan) -> Iterator[dg.DagsterEvent]:
    context, plan = job_context, execution_plan  # Dagster calls it by these names.
    with ExitStack() as stack:
        places = stack.enter_context(InstanceConcurrencyContext(context.instance, context.dagster_run))
        active = stack.enter_context(
            plan.start(
                retry_mode=context.retry_mode,
                instance_concurrency_context=places,
                step_dependency_config=context.step_dependency_config,
            )
        )
        with ExitStack() as capture:
            yield from _capture_output(context, plan, capture)
            while not active.is_complete:
                steps = _next_steps(active)
                yield from active.concurrency_event_iterator(context)
                for batch in batches(steps):
                    yield from _execute_batch(context, active, batch)
                if not steps:
                    active.sleep_til_ready()


def _capture_output(
    context: PlanExecutionContext, plan: ExecutionPlan, capture: ExitStack
) -> Iterator[dg.DagsterEvent]:
    """Write what the process prints to the run's files, as the in-process executor does."""
    manager = context.instance.compute_log_manager
    steps = [step.key for step in plan.get_steps_to_execute_in_topo_order()]
    key = manager.build_log_key_for_run(context.run_id, create_compute_log_file_key())  # type: ignore[no-untyped-call]
    try:
        output = capture.enter_context(manager.capture_logs(key))
        yield dg.DagsterEvent.capture_logs(context, steps, key, output)
    except Exception:
        error = EngineEventData(error=serializable_error_info_from_exc_info(sys.exc_info()))
        yield dg.DagsterEvent.engine_event(context, "The output of the run cannot be captured", error)


def _next_steps(active: ActiveExecution) -> list[ExecutionStep]:
    """Return the next step and, if it is a load, one that is ready with it.

    Not all that are ready: each holds a place in its pool from now on.
    """
    steps = list(active.get_steps_to_execute(limit=1))
    if steps and steps[0].pool in WAREHOUSES:
        steps += active.get_steps_to_execute(limit=1)
    return steps


def batches(steps: Sequence[ExecutionStep]) -> list[list[ExecutionStep]]:
    """Divide steps into those to execute at the same time: loads into different warehouses."""
    pools = {step.pool for step in steps}
    if len(pools) == len(steps) and pools <= WAREHOUSES.keys():
        return [list(steps)] if steps else []
    return [[step] for step in steps]


def _execute_batch(
    context: PlanExecutionContext, active: ActiveExecution, steps: Sequence[ExecutionStep]
) -> Iterator[dg.DagsterEvent]:
    contexts = {step.key: context.for_step(step, active.get_known_state()) for step in steps}
    seen: dict[str, list[dg.DagsterEvent]] = {key: [] for key in contexts}
    each = list(contexts.values())
    for event in _in_threads(each) if len(each) > 1 else dagster_event_sequence_for_step(each[0]):
        seen[event.step_key or steps[0].key].append(event)
        yield event
        active.handle_event(event)
    for step in steps:
        active.verify_complete(context, step.key)
    yield from active.plan_events_iterator(context)
    for key, step_context in contexts.items():
        yield from trigger_hook(step_context, seen[key])


def _in_threads(contexts: Sequence[Any]) -> Iterator[dg.DagsterEvent]:
    """Yield the events of steps that run in a thread each.

    Raises:
        DagsterExecutionInterruptedError: The run was canceled. All steps were interrupted, as the main thread would be.
    """
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threads = [
        threading.Thread(target=_step, args=(each, events), name=each.step.key, daemon=True) for each in contexts
    ]
    running, interrupted, errors = len(threads), 0.0, []
    for thread in threads:
        thread.start()
    while running and not (interrupted and time.monotonic() - interrupted > INTERRUPT_SECONDS):
        if not interrupted and pop_captured_interrupt():
            interrupted = time.monotonic()
            for thread in threads:
                _interrupt(thread)
        try:
            found = events.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if isinstance(found, dg.DagsterEvent):
            yield found
        else:
            running -= 1
            errors += [found] if found else []
    if interrupted:
        for each in contexts:
            # A load that still waits has reported no end, which would free its place.
            each.instance.event_log_storage.free_concurrency_slot_for_step(each.run_id, each.step.key)
        raise DagsterExecutionInterruptedError()
    for error in errors:
        raise error


def _step(context: Any, events: "queue.SimpleQueue[Any]") -> None:
    """Execute a step. Put its events into the queue, and then what it raised or None."""
    error = None
    try:
        for event in dagster_event_sequence_for_step(context):
            events.put(event)
    except BaseException as raised:
        error = raised
    events.put(error)


def _interrupt(thread: threading.Thread) -> None:
    """Raise in the thread what a signal raises in the main thread; a signal reaches no other one."""
    exception = ctypes.py_object(DagsterExecutionInterruptedError)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), exception)
