"""`python code_server.py dagster api grpc -p PORT ...`: settle the runs that died with the last server, and serve.

A run is a process in the code server's container. Dagster cannot tell that it ended with it, so it would count as
running and hold its place in the queue for ever. Reported as failed, it is retried by `run_retries` of dagster.yaml.
"""

import os
import subprocess
import sys
import time

import psycopg

from taxi_assets.local.environment import psycopg_url

IN_PROGRESS = ["STARTING", "STARTED", "CANCELING"]


def in_progress() -> list[str]:
    """Runs in progress. Asked before the server answers, when none of them can have a process."""
    with psycopg.connect(psycopg_url(os.environ["DAGSTER_POSTGRES_URL"]), connect_timeout=10) as connection:
        try:
            return [
                row[0] for row in connection.execute("SELECT run_id FROM runs WHERE status = ANY(%s)", [IN_PROGRESS])
            ]
        except psycopg.errors.UndefinedTable:
            # First start: Dagster has not made its tables yet.
            return []


def settle(port: str, run_ids: list[str]) -> None:
    """Report these runs as failed, or as canceled if that was asked for, once the server answers."""
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
    from dagster._core.events import JobFailureData, RunFailureReason

    # The daemon plans a retry with the code server as soon as it sees the failure, and only that once.
    while subprocess.run(
        ["dagster", "api", "grpc-health-check", "-p", port], capture_output=True, check=False
    ).returncode:
        time.sleep(1)
    with DagsterInstance.get() as instance:
        for run in instance.get_runs(RunsFilter(run_ids=run_ids)):
            if run.status is DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, "The code server's container ended before this run was canceled.")
            elif not run.is_finished:
                instance.report_run_failed(
                    run,
                    "The code server's container ended while this run was in progress.",
                    JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION),
                )
            print(f"settled run {run.run_id}, which was {run.status.value}", flush=True)


def main(command: list[str]) -> None:
    """Start `settle` beside the server if there is something to settle; this process becomes the server."""
    run_ids = in_progress()
    if run_ids:
        port = command[command.index("-p") + 1]
        subprocess.Popen([sys.executable, __file__, "--settle", port, *run_ids])
    os.execvp(command[0], command)


if __name__ == "__main__":
    if sys.argv[1] == "--settle":
        settle(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1:])
