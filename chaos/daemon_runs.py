"""Runs of Dagster's daemon: requested from the webserver as the UI does; the daemon starts them again if they die."""

import os
import signal
import time
from contextlib import suppress

import dagster as dg

from chaos.months import Month
from chaos.stage import Stage
from taxi_assets.runtime.names import month_job_name
from taxi_assets_tests.support.graphql import graphql

LOCATION, REPOSITORY = "taxi_assets.definitions", "__repository__"
# A run that takes this long, with its retries, hangs.
LIMIT_SECONDS = 300.0
_POLL_SECONDS = 0.3
_LAUNCH = """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
_TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"


class DaemonRun:
    """A run of the month's job, with those in its place; `version` is what the source had when it was requested."""

    def __init__(self, stage: Stage, month: Month, version: int) -> None:
        self._stage, self.version = stage, version
        selector = {
            "repositoryLocationName": LOCATION,
            "repositoryName": REPOSITORY,
            "jobName": month_job_name(month.dataset),
        }
        tags = [{"key": "dagster/partition", "value": month.partition}]
        params = {"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": {"tags": tags}}
        answer = graphql(stage.settings.ui_port, _LAUNCH, {"params": params})["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        self._run_id = str(answer["run"]["runId"])

    def newest(self) -> dg.DagsterRun:
        """Return the run, or the last one in its place."""
        with self._stage.instance() as instance:
            retries = instance.get_runs(dg.RunsFilter(tags={"dagster/root_run_id": self._run_id}), limit=1)
            found = retries[0] if retries else instance.get_run_by_id(self._run_id)
        assert found is not None
        return found

    @property
    def succeeded(self) -> bool:
        """Return whether it ended in success."""
        return self.newest().is_success

    @property
    def last_words(self) -> str:
        """Return the status and what Dagster recorded last."""
        run = self.newest()
        with self._stage.instance() as instance:
            texts = [entry.user_message or entry.message for entry in instance.all_logs(run.run_id)]
        return f"{run.status.value}: {' / '.join(texts[-3:])[-600:]}"

    def is_over(self) -> bool:
        """Return whether it has ended and is not started again."""
        run = self.newest()
        if run.status is dg.DagsterRunStatus.FAILURE:
            return run.tags.get("dagster/will_retry") == "false"
        return run.is_finished

    def wait_for_process(self) -> int | None:
        """Return the process of the run as soon as it has one, or None if it ends before."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline and not self.is_over():
            if pid := self._pid():
                return pid
            time.sleep(_POLL_SECONDS)
        return None

    def kill(self) -> None:
        """End the process of the run by SIGKILL."""
        if pid := self._pid():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def terminate(self) -> None:
        """Terminate the run as the UI does."""
        graphql(self._stage.settings.ui_port, _TERMINATE, {"run": self.newest().run_id})

    def wait(self) -> None:
        """Return when it is over, or has taken too long."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline and not self.is_over():
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """End the run."""
        self.terminate()
        self.wait()

    def _pid(self) -> int | None:
        """Return the process of a run, which it records when it begins."""
        with self._stage.instance() as instance:
            for entry in instance.all_logs(self.newest().run_id, dg.DagsterEventType.ENGINE_EVENT):
                event = entry.dagster_event
                if event is not None and (pid := event.engine_event_data.metadata.get("pid")):
                    return int(str(pid.value))
        return None
