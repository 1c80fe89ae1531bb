"""Settle runs that a killed stack left in progress: `python -m taxi_assets.runtime.orphaned_runs`.

Dagster's default launcher cannot detect that a run's process died. The run would count as running for ever and keep one
of the few places in the queue. This runs before Dagster starts, when no run can be alive. Run retries of dagster.yaml
then start the runs again.
"""

import os
from collections.abc import Sequence

import psycopg

from taxi_assets.local.environment import psycopg_url

_IN_PROGRESS = ["STARTING", "STARTED", "CANCELING"]


def in_progress(dagster_postgres_url: str) -> list[str]:
    """Return the ids of runs in progress, by SQL: importing Dagster would add two seconds to every start."""
    try:
        with psycopg.connect(psycopg_url(dagster_postgres_url), connect_timeout=10) as connection:
            query = "SELECT run_id FROM runs WHERE status = ANY(%s)"
            return [run_id for (run_id,) in connection.execute(query, [_IN_PROGRESS])]
    except psycopg.errors.UndefinedTable:
        # First start: Dagster has not created its tables yet.
        return []


def settle(run_ids: Sequence[str], ended: str) -> None:
    """Report these runs as failed, or as canceled if that was requested.

    Args:
        run_ids: The runs.
        ended: What ended while they were in progress, as the subject of a sentence.
    """
    if not run_ids:
        return
    # Imported only when there are runs to settle, because the import takes two seconds.
    import dagster as dg

    from taxi_assets.runtime.dagster_internals import JobFailureData, RunFailureReason

    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(run_ids=list(run_ids))):
            if run.status is dg.DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, f"{ended} ended before this run was canceled.")
            elif not run.is_finished:
                failure = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
                instance.report_run_failed(run, f"{ended} ended while this run was in progress.", failure)
            print(f"settled run {run.run_id}, which was {run.status.value}", flush=True)


if __name__ == "__main__":
    settle(in_progress(os.environ["DAGSTER_POSTGRES_URL"]), "The local stack")
