"""The Celery application of the workers: `celery -A taxi_assets.runtime.celery_app worker`, or `... flower`.

`dagster-celery worker start` is not used for two reasons. It writes its configuration into DAGSTER_HOME, which belongs
to root in the image. It does not pass SIGTERM on, so a worker could never finish its step before it stops.
"""

from typing import Any

import dagster as dg
from celery import Task
from celery.exceptions import Ignore
from celery.signals import worker_init
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from taxi_assets.runtime import fork_server
from taxi_assets.runtime.celery_executor import WatchfulCeleryExecutor
from taxi_assets.runtime.dagster_internals import ExecuteStepArgs, unpack_value
from taxi_assets.settings import Settings


class StepTask(Task):  # type: ignore[misc]
    """A step from a queue. It is dropped if its run has ended while it waited."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Check that the run is still in progress."""
        step = unpack_value(kwargs["execute_step_args_packed"], as_type=ExecuteStepArgs)
        assert step.instance_ref is not None, "dagster-celery sends it with every step"
        with dg.DagsterInstance.from_ref(step.instance_ref) as instance:
            run = instance.get_run_by_id(step.run_id)
        if run is None or run.is_finished:
            raise Ignore()


settings = Settings.from_environment()
app = make_app(WatchfulCeleryExecutor(settings).app_args())  # type: ignore[no-untyped-call]
execute_plan = create_task(app, base=StepTask)


@worker_init.connect  # type: ignore[untyped-decorator]
def preload(**_: Any) -> None:
    """Import the code before the worker forks its processes, also those that replace another one later."""
    if settings.run_start == "fork_server":
        fork_server.preload_if_possible()
