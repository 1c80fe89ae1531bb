"""The sensor `restart_sensor`: requests again what a backfill of `dagster job backfill` lost.

Dagster starts a run again whose process died, or that an error dropped from the queue. It leaves the runs of a backfill
that is completed, and counts one of `dagster job backfill` as completed as soon as its runs are requested. The run that
this sensor requests belongs to no backfill, so that Dagster starts it again in its turn.
"""

from collections.abc import Sequence

import dagster as dg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.jobs import PRIORITY_TAG
from taxi_assets.runtime.dagster_internals import AssetJobDefinition, BulkActionStatus, JobFailureData, RunFailureReason
from taxi_assets.runtime.names import month_job_name

SENSOR, INTERVAL_SECONDS = "restart_sensor", 30
BACKFILL_TAG, PARTITION_TAG, PARENT_TAG = "dagster/backfill", "dagster/partition", "dagster/parent_run_id"
MAX_RETRIES_TAG, RETRY_NUMBER_TAG = "dagster/max_retries", "dagster/retry_number"
KEPT_TAGS = (PARTITION_TAG, PRIORITY_TAG)


def run_key(run_id: str) -> str:
    """Return the key of the request for a run's month, which Dagster keeps as a tag of the new run."""
    return f"restart:{run_id}"


def build_restart_sensor(
    jobs: Sequence[AssetJobDefinition], interval_seconds: int = INTERVAL_SECONDS
) -> dg.SensorDefinition:
    """Build the sensor for the jobs of months. It is on everywhere, as Dagster's own retries are."""

    @dg.run_failure_sensor(
        name=SENSOR,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        request_jobs=jobs,
        description="Requests again the months of a completed backfill whose runs died or were dropped.",
    )
    def restart_sensor(context: dg.RunFailureSensorContext) -> dg.RunRequest | dg.SkipReason:
        run, data = context.dagster_run, context.failure_event.event_specific_data
        # A run that an error dropped from the queue failed without any data.
        if isinstance(data, JobFailureData) and data.failure_reason is RunFailureReason.STEP_FAILURE:
            return dg.SkipReason(f"A step of run {run.run_id} failed.")
        if not is_left_alone(context.instance, run):
            return dg.SkipReason(f"Run {run.run_id} is none that Dagster leaves alone.")
        retries = retries_left(context.instance, run)
        if retries < 1:
            return dg.SkipReason(f"Run {run.run_id} was started often enough.")
        # The partition as a tag: by its argument, the job's priority would replace one that the backfill was given.
        kept = {name: value for name, value in run.tags.items() if name in KEPT_TAGS or not _is_of_dagster(name)}
        return dg.RunRequest(
            run_key=run_key(run.run_id),
            job_name=run.job_name,
            run_config=run.run_config,
            # This start and those of the new run are as many in all as those of other runs.
            tags=kept | {MAX_RETRIES_TAG: str(retries - 1)},
        )

    return restart_sensor


def is_left_alone(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Return whether a failed run is of a month and of a completed backfill, and nobody has started it again."""
    backfill_id, jobs = run.tags.get(BACKFILL_TAG), {month_job_name(name) for name in DATASETS}
    if run.job_name not in jobs or backfill_id is None or PARTITION_TAG not in run.tags:
        return False
    backfill = instance.get_backfill(backfill_id)
    if backfill is None or backfill.status is not BulkActionStatus.COMPLETED:
        return False
    return not instance.get_runs(dg.RunsFilter(tags={PARENT_TAG: run.run_id}), limit=1)


def retries_left(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    """Return how often the run may be started again, by its tags and the settings of run retries."""
    if not instance.run_retries_enabled:
        return 0
    most, done = run.tags.get(MAX_RETRIES_TAG, ""), run.tags.get(RETRY_NUMBER_TAG, "")
    return _number(most, instance.run_retries_max_retries) - _number(done, 0)


def _number(text: str, otherwise: int) -> int:
    return int(text) if text.isdecimal() else otherwise


def _is_of_dagster(tag: str) -> bool:
    return tag.startswith(("dagster/", ".dagster/"))
