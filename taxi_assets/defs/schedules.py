"""The schedules `<dataset>_month_schedule`: once a month, the month that should be published by now.

The sensors load a month on the day it appears. A schedule is the net below them: it takes up a month that is
published and yet not loaded, because a sensor is off or its run failed.
"""

import dagster as dg

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.ingestion.polling import LAG_MONTHS, NEW_YORK
from taxi_assets.errors import TaxiError
from taxi_assets.months import month_text, months_before
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.source import SourceResource
from taxi_assets.runtime.names import month_job_name

# In the morning of the first day, when the month that ended two months ago has had its time.
CRON = "0 6 1 * *"
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_month_schedule(dataset: Dataset, enabled_by_default: bool) -> dg.ScheduleDefinition:
    """Build the dataset's schedule; `enabled_by_default` sets its initial state."""

    @dg.schedule(
        name=f"{dataset.name}_month_schedule",
        job_name=month_job_name(dataset.name),
        cron_schedule=CRON,
        execution_timezone=NEW_YORK.key,
        default_status=dg.DefaultScheduleStatus.RUNNING if enabled_by_default else dg.DefaultScheduleStatus.STOPPED,
        description=f"On the first of a month, the month of {dataset.name} that ended {LAG_MONTHS} months before, "
        "if it is published and not loaded.",
    )
    def month_schedule(
        context: dg.ScheduleEvaluationContext, source: SourceResource, lake: LakeResource
    ) -> dg.RunRequest | dg.SkipReason:
        month = months_before(context.scheduled_execution_time.astimezone(NEW_YORK).date(), LAG_MONTHS + 1)
        what = f"{dataset.name} {month_text(month)}"
        try:
            if lake.find(clean_object(dataset.name, month)) is not None:
                return dg.SkipReason(f"{what} is loaded.")
            same = dg.RunsFilter(
                job_name=month_job_name(dataset.name),
                statuses=UNFINISHED,
                tags={"dagster/partition": month.isoformat()},
            )
            if context.instance.get_runs(same, limit=1):
                return dg.SkipReason(f"{what} is being loaded.")
            source.probe(dataset.name, month)
        except TaxiError as error:
            return dg.SkipReason(f"{what} is not requested: {error}")
        return dg.RunRequest(partition_key=month.isoformat(), run_key=month.isoformat())

    return month_schedule
