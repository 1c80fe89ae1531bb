"""The run's side: dagster-celery's executor, with an eye on the workers that took the steps.

Celery tells nobody when a machine goes down with a step, so that the run would wait for it for ever. Here the run
asks, every few seconds, the worker that took a step whether it still has it. If not, the step ends as a failed one
does, and the retry policy of its asset takes it up. That a worker lives on unheard and the step runs twice at once
does no harm: months are replaced whole, and the run heeds the second attempt alone.
"""

import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from celery.states import PENDING
from dagster import DagsterEvent, Executor, ExecutorDefinition, executor, multiple_process_executor_requirements
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode
from dagster._serdes import serialize_value
from dagster._utils.error import serializable_error_info_from_exc_info
from dagster_celery.core_execution_loop import core_celery_execution_loop
from dagster_celery.executor import CeleryExecutor, _submit_task
from dagster_shared.error import SerializableErrorInfo

from taxi_assets.errors import SettingsError
from taxi_assets.settings import Settings

# A worker is given up when it has missed three questions in a row: 24 seconds at most.
ASK_SECONDS = 5.0
ANSWER_SECONDS = 3.0
MISSES = 3

CELERY = {
    # Says which worker has begun a step; without it there would be nobody to ask.
    "task_track_started": True,
    # A worker takes from the queue what it can begin at once, and leaves the rest to others.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    # A step is off the queue once it has begun. One that was fetched by a worker that died before is offered again
    # after this many seconds.
    "broker_transport_options": {"visibility_timeout": 30},
    # In kilobytes: a process that a step has left larger gives way to a new one. A step of its own process would
    # take a second longer to begin.
    "worker_max_memory_per_child": 600_000,
    "broker_connection_retry_on_startup": True,
    "result_expires": 24 * 3600,
}


def celery_executor(settings: Settings) -> ExecutorDefinition:
    """The executor definition for these settings; the address of Redis is in none of its visible configuration."""

    @executor(name="celery", requirements=multiple_process_executor_requirements())
    def celery(_: Any) -> Executor:
        """Every step is taken by some worker."""
        return StepsOnWorkers(settings)

    return celery


# dagster-celery declares its task anew for every step that it submits.
warnings.filterwarnings("ignore", message="Task name 'execute_plan' is already registered")


class StepsOnWorkers(CeleryExecutor):  # type: ignore[misc]
    """dagster-celery's executor, whose steps end also when their worker does."""

    def __init__(self, settings: Settings) -> None:
        """An executor, or what a worker takes its configuration from.

        Raises:
            SettingsError: TAXI_REDIS_URL is not set.
        """
        if settings.redis_url is None:
            raise SettingsError("TAXI_REDIS_URL is not set; set it to redis://:password@host:port/0.")
        super().__init__(  # type: ignore[no-untyped-call]
            retries=RetryMode.ENABLED, broker=settings.redis_url, backend=settings.redis_url, config_source=CELERY
        )

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Submit the plan's steps as they become due, and yield their events."""
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
        def lost(error: SerializableErrorInfo) -> DagsterEvent:
            return self.log_failure_or_retry_event_after_error(plan_context.for_step(step), error, known_state)

        return WatchedStep(_submit_task(app, plan_context, step, queue, priority, known_state), queue, lost)


class WatchedStep:
    """A submitted step, to dagster-celery's loop the same as Celery's result: `ready`, `get` and `revoke`."""

    def __init__(self, result: AsyncResult, queue: str, on_loss: Any) -> None:
        self._result = result
        self._queue = queue
        self._on_loss = on_loss
        self._misses = 0
        self._asked = time.monotonic()

    def ready(self) -> bool:
        """Whether the step has ended, or its worker is given up."""
        if self._result.ready():
            return True
        if time.monotonic() - self._asked >= ASK_SECONDS:
            self._misses = 0 if self._is_somewhere() else self._misses + 1
            self._asked = time.monotonic()
        return self._misses >= MISSES

    def get(self) -> list[str]:
        """The step's events, serialized; those of a lost one are its retry, or its failure after too many."""
        if not self._result.ready():
            # Should it still wait somewhere, nobody is to begin it beside the retry.
            self._result.revoke()
            error = SerializableErrorInfo(f"{self._worker()} went away with this step.\n", [], None)
            return [serialize_value(self._on_loss(error))]
        try:
            return list(self._result.get())
        except TaskRevokedError:
            raise
        except Exception:
            # The worker lives and says so: the process that took the step was killed, as for want of memory.
            return [serialize_value(self._on_loss(serializable_error_info_from_exc_info(sys.exc_info())))]

    def revoke(self) -> None:
        """Ask that nobody begins it; once begun, it goes on to its end."""
        self._result.revoke()

    def _is_somewhere(self) -> bool:
        """Whether the step is with the worker that began it or, if none did, waits in its queue."""
        control = self._result.app.control
        if self._result.state != PENDING:
            begun_by = self._worker()
            inspect = control.inspect(destination=[begun_by], timeout=ANSWER_SECONDS, limit=1)
        elif self._waiting():
            return True
        else:
            inspect = control.inspect(timeout=ANSWER_SECONDS)
        answers = inspect.query_task(self._result.id) or {}
        return self._result.ready() or any(self._result.id in tasks for tasks in answers.values())

    def _worker(self) -> str:
        """The worker that began the step."""
        meta = self._result.info
        return str(meta["hostname"]) if isinstance(meta, dict) and "hostname" in meta else "A worker"

    def _waiting(self) -> bool:
        """Whether any step waits in the queue; which ones, Redis does not tell cheaply."""
        with self._result.app.connection_for_read() as connection:
            return bool(connection.default_channel.queue_declare(self._queue).message_count)
