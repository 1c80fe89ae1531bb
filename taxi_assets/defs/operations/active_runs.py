"""Which runs are under way, and what they work on."""

import dagster as dg

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.schedules import UNFINISHED
from taxi_assets.runtime.names import month_job_name


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Return the runs that wait or are in progress."""
    return list(instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)))


def datasets_of(run: dg.DagsterRun) -> set[str]:
    """Return the datasets of a run: of a job by its name, of one that was started in the lineage by its assets."""
    by_job = {name for name in DATASETS if run.job_name == month_job_name(name)}
    return by_job | {key.path[0] for key in run.asset_selection or ()}
