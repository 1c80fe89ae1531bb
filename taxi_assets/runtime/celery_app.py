"""The workers' side: `celery -A taxi_assets.runtime.celery_app worker` takes steps, `... flower` shows who takes what.

`dagster-celery worker start` would do as well, but writes its configuration into DAGSTER_HOME, which belongs to
root in the image, and does not pass SIGTERM on, so that a worker could never end its step before it stops.
"""

from typing import Any

from celery import Task
from celery.exceptions import Ignore
from dagster import DagsterInstance
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import unpack_value
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from taxi_assets.runtime.celery_executor import StepsOnWorkers
from taxi_assets.settings import Settings


class Step(Task):  # type: ignore[misc]
    """A step that waited in a queue; it is not taken if its run has ended meanwhile, which others go on with."""

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Look at the run before the step begins."""
        step = unpack_value(kwargs["execute_step_args_packed"], as_type=ExecuteStepArgs)
        assert step.instance_ref is not None, "dagster-celery sends it with every step"
        with DagsterInstance.from_ref(step.instance_ref) as instance:
            run = instance.get_run_by_id(step.run_id)
        if run is None or run.is_finished:
            raise Ignore()


app = make_app(StepsOnWorkers(Settings.from_environment()).app_args())  # type: ignore[no-untyped-call]
execute_plan = create_task(app, base=Step)
