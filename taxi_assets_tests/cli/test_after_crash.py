"""Which months a crash may have left half written, by the runs that did not end well."""

import time
from datetime import date

import dagster as dg

from taxi_assets.cli.after_crash import months_of_runs
from taxi_assets.reconcile.unfinished import Unfinished
from taxi_assets.runtime.names import month_job_name

HOUR = 3600


def run_of(instance: dg.DagsterInstance, name: str, status: dg.DagsterRunStatus, month: str | None) -> None:
    @dg.job(name=name)
    def job() -> None:
        """Do nothing."""

    instance.create_run_for_job(job, tags={"dagster/partition": month} if month else {}, status=status)


def test_runs_that_did_not_succeed_name_their_months(dagster_home: dg.DagsterInstance):
    status, now = dg.DagsterRunStatus, time.time()
    run_of(dagster_home, month_job_name("green"), status.STARTED, "2020-04-01")
    run_of(dagster_home, month_job_name("yellow"), status.FAILURE, "2021-01-01")
    run_of(dagster_home, month_job_name("fhv"), status.SUCCESS, "2019-02-01")
    run_of(dagster_home, month_job_name("fhvhv"), status.FAILURE, None)
    run_of(dagster_home, "another_job", status.FAILURE, "2020-04-01")
    wanted = {Unfinished("green", date(2020, 4, 1)), Unfinished("yellow", date(2021, 1, 1))}
    assert months_of_runs(now - HOUR) == wanted
    assert months_of_runs(now + HOUR) == set()
