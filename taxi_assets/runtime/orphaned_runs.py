"""`python -m taxi_assets.runtime.orphaned_runs`: settle runs that a killed stack left behind as in progress.

Dagster's default launcher cannot tell whether a run's process is alive, so such a run would count as running
for ever and hold one of the few places in the queue. Asked before Dagster starts, when no run can be alive;
run retries of dagster.yaml then take them up again.
"""

import os
from collections.abc import Sequence

import psycopg

from taxi_assets.local.environment import psycopg_url

_IN_PROGRESS = ["STARTING", "STARTED", "CANCELING"]


def in_progress(dagster_postgres_url: str) -> list[str]:
    """Ids of runs in progress, from the database: importing Dagster for it would cost two seconds at every start."""
    try:
        with psycopg.connect(psycopg_url(dagster_postgres_url), connect_timeout=10) as connection:
            query = "SELECT run_id FROM runs WHERE status = ANY(%s)"
            return [run_id for (run_id,) in connection.execute(query, [_IN_PROGRESS])]
    except psycopg.errors.UndefinedTable:
        # First start: Dagster has not made its tables yet.
        return []


def settle(run_ids: Sequence[str], what: str) -> None:
    """Report these runs as failed, or as canceled if that was asked for; `what` ended under them."""
    if not run_ids:
        return
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
    from dagster._core.events import JobFailureData, RunFailureReason

    with DagsterInstance.get() as instance:
        for run in instance.get_runs(RunsFilter(run_ids=list(run_ids))):
            if run.status is DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, f"{what} ended before this run was canceled.")
            elif not run.is_finished:
                instance.report_run_failed(
                    run,
                    f"{what} ended while this run was in progress.",
                    JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION),
                )
            print(f"settled run {run.run_id}, which was {run.status.value}", flush=True)


if __name__ == "__main__":
    settle(in_progress(os.environ["DAGSTER_POSTGRES_URL"]), "The local stack")
