"""dagster-celery's executor, extended to detect workers that disappeared with a step.

Celery does not report that a machine went down, so the run would wait for its step for ever. This executor checks every
few seconds that the worker still has the step. If it does not, the step is retried.
A worker may be alive but unreachable, so that the step runs twice at once. That does no harm: months are replaced
whole, and the run uses only the second attempt's events.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from celery.states import PENDING
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CeleryExecutor, _submit_task

from taxi_assets.errors import SettingsError
from taxi_assets.runtime import run_process
from taxi_assets.runtime.dagster_internals import (
    ExecutionPlan,
    ExecutionStep,
    KnownExecutionState,
    PlanOrchestrationContext,
    RetryMode,
    SerializableErrorInfo,
    StepRetryData,
    serializable_error_info_from_exc_info,
    serialize_value,
)
from taxi_assets.settings import Settings

# A worker counts as lost after three checks in a row without a response: 24 seconds at most.
CHECK_SECONDS = 5.0
RESPONSE_SECONDS = 3.0
MAX_MISSED_CHECKS = 3
# After that many lost workers the step fails; the pause lets a machine that restarts come back.
LOST_STEP_RETRIES = 3
LOST_STEP_PAUSE_SECONDS = 5.0

CELERY = {
    # Records which worker has started a step, so that this worker can be checked.
    "task_track_started": True,
    # A worker takes from the queue only what it can start at once.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    # A step leaves the queue when it starts. If the worker that fetched it dies before, the step is offered again
    # after this many seconds.
    "broker_transport_options": {"visibility_timeout": 30},
    # In kilobytes: a process that a step has left larger is replaced. A new process for every step would take
    # a second longer to start.
    "worker_max_memory_per_child": 600_000,
    "broker_connection_retry_on_startup": True,
    "result_expires": 24 * 3600,
}


def celery_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor definition. The URL of Redis is not part of its visible configuration."""

    @dg.executor(name="celery", requirements=dg.multiple_process_executor_requirements())
    def celery(_: Any) -> dg.Executor:
        """Run every step on a worker."""
        return WatchfulCeleryExecutor(settings)

    return celery


# dagster-celery registers its task again for every step that it submits.
warnings.filterwarnings("ignore", message="Task name 'execute_plan' is already registered")


class WatchfulCeleryExecutor(CeleryExecutor):  # type: ignore[misc]
    """dagster-celery's executor, where a step also ends if its worker is lost."""

    def __init__(self, settings: Settings) -> None:
        """Create the executor, which is also the source of the workers' configuration.

        Raises:
            SettingsError: TAXI_REDIS_URL is not set.
        """
        if settings.redis_url is None:
            raise SettingsError("TAXI_REDIS_URL is not set; set it to redis://:password@host:port/0.")
        super().__init__(  # type: ignore[no-untyped-call]
            retries=RetryMode.ENABLED, broker=settings.redis_url, backend=settings.redis_url, config_source=CELERY
        )

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Submit the plan's steps as they become ready, and yield their events."""
        plan_context.instance.add_run_tags(plan_context.run_id, run_process.tags())
        yield from core_celery_execution_loop(plan_context, execution_plan, step_execution_fn=self._submit)

    def _submit(
        self,
        app: Celery,
        plan_context: PlanOrchestrationContext,
        step: ExecutionStep,
        queue: str,
        priority: int,
        known_state: KnownExecutionState,
    ) -> "WatchedStep":
        def failure_event(error: SerializableErrorInfo) -> dg.DagsterEvent:
            context = plan_context.for_step(step)
            if known_state.get_retry_state().get_attempt_count(step.key) < LOST_STEP_RETRIES:
                data = StepRetryData(error, LOST_STEP_PAUSE_SECONDS)  # type: ignore[no-untyped-call]
                return dg.DagsterEvent.step_retry_event(context, data)
            return self.log_failure_or_retry_event_after_error(context, error, known_state)

        # dagster-celery has no public way to submit one step.
        result = _submit_task(app, plan_context, step, queue, priority, known_state)
        return WatchedStep(result, queue, failure_event)


class WatchedStep:
    """A submitted step with the methods of Celery's result that dagster-celery's loop calls: ready, get and revoke."""

    def __init__(
        self, result: AsyncResult, queue: str, failure_event: Callable[[SerializableErrorInfo], dg.DagsterEvent]
    ) -> None:
        self._result = result
        self._queue = queue
        self._failure_event = failure_event
        self._missed_checks = 0
        self._checked_at = time.monotonic()

    def ready(self) -> bool:
        """Return whether the step has ended or its worker counts as lost."""
        if self._result.ready():
            return True
        if time.monotonic() - self._checked_at >= CHECK_SECONDS:
            self._missed_checks = 0 if self._is_alive() else self._missed_checks + 1
            self._checked_at = time.monotonic()
        return self._missed_checks >= MAX_MISSED_CHECKS

    def get(self) -> list[str]:
        """Return the step's serialized events. A lost step has one: its retry or, after too many, its failure."""
        if not self._result.ready():
            # If the step still waits in a queue, no worker may start it beside the retry.
            self._result.revoke()
            error = SerializableErrorInfo(f"{self._worker()} went away with this step.\n", [], None)
            return [serialize_value(self._failure_event(error))]
        try:
            return list(self._result.get())
        except TaskRevokedError:
            raise
        except Exception:
            # The worker is alive and reports that the step's process was killed, for example for lack of memory.
            return [serialize_value(self._failure_event(serializable_error_info_from_exc_info(sys.exc_info())))]

    def revoke(self) -> None:
        """Keep workers from starting the step. A step that has started continues to its end."""
        self._result.revoke()

    def _is_alive(self) -> bool:
        """Return whether the worker that started the step has it or, if none did, the step waits in its queue."""
        control = self._result.app.control
        if self._result.state != PENDING:
            inspect = control.inspect(destination=[self._worker()], timeout=RESPONSE_SECONDS, limit=1)
        elif self._is_queue_filled():
            return True
        else:
            inspect = control.inspect(timeout=RESPONSE_SECONDS)
        responses = inspect.query_task(self._result.id) or {}
        return self._result.ready() or any(self._result.id in tasks for tasks in responses.values())

    def _worker(self) -> str:
        """Return the name of the worker that started the step."""
        meta = self._result.info
        return str(meta["hostname"]) if isinstance(meta, dict) and "hostname" in meta else "A worker"

    def _is_queue_filled(self) -> bool:
        """Return whether any step waits in the queue; Redis cannot list which ones cheaply."""
        with self._result.app.connection_for_read() as connection:
            return bool(connection.default_channel.queue_declare(self._queue).message_count)
