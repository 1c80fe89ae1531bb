"""The run launcher of dagster.yaml: Dagster's default launcher with a health check for runs.

A running code server reports within a second that the process of one of its runs died. Nothing reports the runs of a
code server that died itself, or those that a person started in a shell and whose process was killed. They would count
as running for ever, and keep their places in the queue and the pools. Run monitoring calls this launcher for every
started run and reports those that are gone as failed. Run retries then start again those that a code server started.
"""

import time

import dagster as dg

from taxi_assets.runtime import run_process
from taxi_assets.runtime.dagster_internals import (
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    DefaultRunLauncher,
    GetCurrentRunsResult,
    WorkerStatus,
    deserialize_value,
)

# A busy server responds late. One that is silent for this long does not come back at its socket.
LOST_SECONDS = 60.0


class WatchfulRunLauncher(DefaultRunLauncher):
    """Check runs by requesting the list of current runs from the code server that started them."""

    def __init__(self, inst_data=None) -> None:  # type: ignore[no-untyped-def]
        super().__init__(inst_data)
        self._silent_since: dict[str, float] = {}

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Return True, unlike Dagster's own launcher."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the run is alive, as far as can be known.

        A code server with an address, as in a deployment, may come back; until then nothing could start the run again.
        A code server with a socket is the child of a daemon or webserver, which starts its next one at another socket.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return self._check_process(run)
        try:
            response = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
        except DagsterUserCodeUnreachableError:
            since = self._silent_since.setdefault(run.run_id, time.monotonic())
            if client.socket is None or time.monotonic() - since < LOST_SECONDS:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            del self._silent_since[run.run_id]
            return CheckRunHealthResult(WorkerStatus.FAILED, "the code server that started the run is gone")
        self._silent_since.pop(run.run_id, None)
        if run.run_id in response.current_runs:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its code server no longer has the run")

    def _check_process(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of a run that no code server started is alive; free the places of a killed one."""
        if not run_process.is_gone(run.tags.get(run_process.TAG)):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        # Run monitoring would do it a minute after the end. Others wait for the places, and nobody uses them.
        self._instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its process was killed")
