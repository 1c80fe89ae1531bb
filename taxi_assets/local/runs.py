"""`python -m taxi_assets.local.runs`: settle runs that a killed stack left behind as in progress.

Dagster's local launcher cannot tell whether a run's process is alive, so such a run would count as running
for ever and hold one of the few places in the queue. Called before Dagster starts, when no run can be alive;
run retries of dagster.yaml then take them up again.
"""

import psycopg

from taxi_assets.local.environment import psycopg_url

_IN_PROGRESS = ("STARTING", "STARTED", "CANCELING")


def any_left_behind(dagster_postgres_url: str) -> bool:
    """Ask the database directly: importing Dagster for it would cost two seconds at every start."""
    try:
        with psycopg.connect(psycopg_url(dagster_postgres_url), connect_timeout=5) as connection:
            query = "SELECT EXISTS (SELECT FROM runs WHERE status = ANY(%s))"
            row = connection.execute(query, [list(_IN_PROGRESS)]).fetchone()
            return bool(row and row[0])
    except psycopg.errors.UndefinedTable:
        # First start: Dagster has not made its tables yet.
        return False


def settle() -> None:
    """Report every run in progress as failed, or as canceled if that was asked for."""
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
    from dagster._core.events import JobFailureData, RunFailureReason

    with DagsterInstance.get() as instance:
        for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus(name) for name in _IN_PROGRESS])):
            if run.status is DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "The local stack ended before this run was canceled.")
            else:
                instance.report_run_failed(
                    run,
                    "The local stack ended while this run was in progress.",
                    JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION),
                )
            print(f"settled run {run.run_id}, which was {run.status.value}")


if __name__ == "__main__":
    settle()
