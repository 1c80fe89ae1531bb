"""The run launcher of dagster.yaml: Dagster's default one, made able to tell whether a run's process is alive.

Before a launch it also enters pools that are new: of two runs that meet one first at the same moment, one would fail.

A code server that lives reports a run of its own whose process died, within a second. Nobody reports the runs of a
code server that died itself: they would count as running, and hold their places in the queue and the pools. Run
monitoring asks this launcher about each run that has started, and reports those that are dead as failed, which run
retries then take up again.
"""

import threading
import time

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

from taxi_assets.runtime.queues import QUEUES

# A busy server answers late; one that is gone for this long does not come back under its socket.
GONE_SECONDS = 60.0


class WatchfulRunLauncher(DefaultRunLauncher):
    """Asks the code server that a run was started by whether it still has it."""

    def __init__(self, inst_data=None) -> None:  # type: ignore[no-untyped-def]
        super().__init__(inst_data)
        self._silent_since: dict[str, float] = {}
        self._entering = threading.Lock()

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run's process."""
        storage = self._instance.event_log_storage
        with self._entering:
            for pool in QUEUES.keys() - storage.get_concurrency_keys():
                storage.initialize_concurrency_limit_to_default(pool)
        super().launch_run(context)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True, unlike in Dagster's own."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run is alive, as far as can be known.

        A server at an address of its own, as in a deployment, may come back: until then nothing could take up the
        run again anyway. One at a socket is the child of a daemon or webserver, which starts the next one elsewhere.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            answer = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
        except DagsterUserCodeUnreachableError:
            since = self._silent_since.setdefault(run.run_id, time.monotonic())
            if client.socket is None or time.monotonic() - since < GONE_SECONDS:
                return CheckRunHealthResult(WorkerStatus.RUNNING)
            del self._silent_since[run.run_id]
            return CheckRunHealthResult(WorkerStatus.FAILED, "the code server that it was started by is gone")
        self._silent_since.pop(run.run_id, None)
        if run.run_id in answer.current_runs:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, "its code server does not have it any more")
