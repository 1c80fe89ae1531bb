"""The run launcher of dagster.yaml: Dagster's default launcher with a health check for runs.

A running code server reports within a second that the process of one of its runs died. Nothing reports the runs of a
code server that died itself. They would count as running for ever, and keep their places in the queue and the pools.
Run monitoring calls this launcher for every started run and reports those that are gone as failed. Run retries then
start them again.

The launcher also creates new pools before a launch. Otherwise, if two runs used a new pool at the same moment, one of
them would fail.
"""

import threading
import time

import dagster as dg

from taxi_assets.runtime.dagster_internals import (
    CheckRunHealthResult,
    DagsterUserCodeUnreachableError,
    DefaultRunLauncher,
    GetCurrentRunsResult,
    LaunchRunContext,
    WorkerStatus,
    deserialize_value,
)
from taxi_assets.runtime.queues import QUEUES

# A busy server responds late. One that is silent for this long does not come back at its socket.
LOST_SECONDS = 60.0


class WatchfulRunLauncher(DefaultRunLauncher):
    """Check runs by requesting the list of current runs from the code server that started them."""

    def __init__(self, inst_data=None) -> None:  # type: ignore[no-untyped-def]
        super().__init__(inst_data)
        self._silent_since: dict[str, float] = {}
        self._pools_lock = threading.Lock()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Create pools that are new, and start the run's process."""
        storage = self._instance.event_log_storage
        with self._pools_lock:
            for pool in QUEUES.keys() - storage.get_concurrency_keys():
                storage.initialize_concurrency_limit_to_default(pool)
        super().launch_run(context)

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
            return CheckRunHealthResult(WorkerStatus.RUNNING)
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
