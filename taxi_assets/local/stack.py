"""The stack: starts the services in order, notices when one ends, stops them in reverse order.

Other commands, the demo and the tests hold one in their own process:

    with Stack(settings, dagster=False).running() as stack:
        ...  # stack.env is what clients need
"""

import datetime
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from taxi_assets.errors import ServiceError
from taxi_assets.local import ports, processes, services, state
from taxi_assets.local.services import Service
from taxi_assets.settings import Settings

_POLL_SECONDS = 0.05
_WATCH_SECONDS = 0.3


class AlreadyRunningError(ServiceError):
    """Another process runs a stack in this data folder."""


class ServiceEndedError(ServiceError):
    """A service ended that should run, or does not answer in time."""

    def __init__(self, service: Service, what: str) -> None:
        now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
        super().__init__(f"{service.name} {what} at {now}; see {service.log}.")
        self.service = service


# In the path of the data folder: PostgreSQL splits its socket's folder at commas, the emulator quotes by hand.
UNUSABLE = ",'\"\\"


class StopRequestedError(Exception):
    """The user stopped the stack while services were still starting."""


class Stack:
    """All services of one data folder. Start it from a thread that lives as long as it: see `processes.spawn`."""

    def __init__(
        self,
        settings: Settings,
        *,
        dagster: bool = True,
        environ: Mapping[str, str] = os.environ,
        workspace: Path = services.WORKSPACE,
        report: Callable[[Service, float], None] = lambda _service, _seconds: None,
    ) -> None:
        """`report` is called with each service that answers and the seconds it took."""
        if settings.env != "local":
            raise ServiceError(
                "The embedded services are for TAXI_ENV=local; with TAXI_ENV=cloud there are none to run."
            )
        self.settings = settings
        self.env = services.environment(settings, environ)
        self.stop_requested = threading.Event()
        self._dagster = dagster
        self._report = report
        self._stages = services.build_stages(settings, environ, dagster=dagster, workspace=workspace)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._lock: state.Lock | None = None
        self._state: state.StackState | None = None

    @contextmanager
    def running(self) -> Iterator["Stack"]:
        """Start on entry and stop on exit."""
        self.start()
        try:
            yield self
        finally:
            self.stop()

    def start(self) -> None:
        """Start all services and return when each answers; on any failure none is left running.

        Raises:
            AlreadyRunningError: Another process has this data folder's stack.
            ServiceError: A port is taken, or a service ended or did not answer in time.
        """
        make_folders(self.settings)
        lock = state.Lock(self.settings.data_dir)
        if not lock.acquire():
            raise AlreadyRunningError(f"A stack in {self.settings.data_dir} is running already.")
        self._lock = lock
        previous = state.read(self.settings.data_dir)
        if previous is not None and previous.crashed():
            state.note_crash(self.settings.data_dir, previous.started_at)
        self._state = self._first_state()
        self._write()
        try:
            if previous is not None:
                end_left_behind(self.settings, previous)
            wanted = services.ports(self.settings)
            if not self._dagster:
                del wanted["TAXI_UI_PORT"]
            ports.refuse_taken(wanted)
            for stage in self._stages:
                self._start_stage(stage)
            self._state.phase = "running"
            self._write()
        except BaseException as error:
            # Whatever it is, Ctrl-C included: no service may outlive a start that failed.
            self.stop(error if isinstance(error, ServiceError) else None)
            raise

    def watch(self) -> None:
        """Return when `stop_requested` is set.

        Raises:
            ServiceEndedError: A service ended by itself.
        """
        while not self.stop_requested.wait(_WATCH_SECONDS):
            self.check()

    def check(self) -> None:
        """Raise ServiceEndedError if a service has ended by itself."""
        for service in self._services():
            code = self._children[service.name].poll() if service.name in self._children else None
            if code is not None:
                raise ServiceEndedError(service, f"ended with exit code {code}")

    def stop(self, reason: ServiceError | None = None) -> None:
        """Stop all services, the last started first; `reason` is kept for `taxi status`. Twice does no harm."""
        if self._state is None or self._lock is None:
            return
        # All of a stage at once, so that even the slowest end fits into the minute that `taxi down` waits.
        for stage in reversed(self._stages):
            with ThreadPoolExecutor() as pool:
                list(pool.map(self._stop_service, stage))
        processes.end_groups([child.pid for child in self._children.values()], self.settings.data_dir)
        self._children.clear()
        self._state.phase = "stopped"
        for entry in self._state.services.values():
            entry.state = "stopped"
        if reason is not None:
            self._state.reason = str(reason)
        if isinstance(reason, ServiceEndedError):
            self._state.failed_service = reason.service.name
            self._state.services[reason.service.name].state = "crashed"
        self._write()
        self._lock.release()
        self._lock = None

    def _start_stage(self, stage: list[Service]) -> None:
        began = {}
        for service in stage:
            service.prepare()
            began[service.name] = time.monotonic()
            self._spawn(service)
        pending = list(stage)
        while pending:
            if self.stop_requested.is_set():
                raise StopRequestedError
            for service in list(pending):
                seconds = time.monotonic() - began[service.name]
                if self._respawned(service, seconds):
                    continue
                self.check()
                if service.is_ready():
                    seconds = time.monotonic() - began[service.name]
                    entry = self._entry(service)
                    entry.state, entry.ready_seconds = "running", round(seconds, 2)
                    self._write()
                    self._report(service, seconds)
                    pending.remove(service)
                elif seconds > service.ready_within:
                    raise ServiceEndedError(service, f"did not answer within {service.ready_within:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _spawn(self, service: Service) -> None:
        child = processes.spawn(service.command, service.env, service.cwd, service.log, service.stop[0][0])
        self._children[service.name] = child
        entry = self._entry(service)
        entry.pid, entry.identity = child.pid, state.identity(child.pid)
        entry.state, entry.started_at = "starting", time.time()
        # Written at once: if this process is killed now, the next one finds the child.
        self._write()

    def _respawned(self, service: Service, seconds: float) -> bool:
        """Start a service anew that ended for a reason known to pass by itself."""
        ended = self._children[service.name].poll() is not None
        if not ended or not service.passing_failures or seconds > service.ready_within:
            return False
        log = processes.tail(service.log, 20)
        if not any(text in log for text in service.passing_failures):
            return False
        time.sleep(0.5)
        self._spawn(service)
        return True

    def _stop_service(self, service: Service) -> None:
        child = self._children.get(service.name)
        if child is None:
            return
        if child.poll() is None:
            processes.end(child.pid, self._entry(service).identity, service.stop)
        child.wait(10)

    def _services(self) -> list[Service]:
        return [service for stage in self._stages for service in stage]

    def _entry(self, service: Service) -> state.ServiceState:
        assert self._state is not None
        return self._state.services[service.name]

    def _first_state(self) -> state.StackState:
        places = services.address_and_log(self.settings)
        return state.StackState(
            phase="starting",
            supervisor_pid=os.getpid(),
            supervisor_identity=state.identity(os.getpid()),
            dagster=self._dagster,
            ui=places["webserver"][0] if self._dagster else None,
            started_at=time.time(),
            services={s.name: state.ServiceState(address=s.address, log=str(s.log)) for s in self._services()},
        )

    def _write(self) -> None:
        assert self._state is not None
        state.write(self.settings.data_dir, self._state)


def make_folders(settings: Settings) -> Path:
    """Make the data folder and the one of the logs, which is returned."""
    logs = settings.data_dir / "logs"
    if odd := sorted(set(str(settings.data_dir)) & set(UNUSABLE)):
        raise ServiceError(
            f"The data folder {settings.data_dir} has {' and '.join(odd)} in its path, which PostgreSQL or the "
            "BigQuery emulator misread; set TAXI_DATA_DIR to a folder without."
        )
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceError(f"{logs} cannot be made ({error.strerror}); set TAXI_DATA_DIR to another folder.") from error
    return logs


def end_left_behind(settings: Settings, previous: state.StackState) -> list[str]:
    """End what a stack left whose supervisor was killed; what was still running, in words."""
    found = []
    names = [name for stage in reversed(services.STAGES) for name in stage]
    stops = {s.name: s.stop for stage in services.build_stages(settings, os.environ, dagster=True) for s in stage}
    for name in names:
        entry = previous.services.get(name)
        if entry is None or entry.pid is None:
            continue
        if state.is_same(entry.pid, entry.identity):
            found.append(name)
            processes.end(entry.pid, entry.identity, stops[name])
    pids = [entry.pid for entry in previous.services.values() if entry.pid is not None]
    rest = processes.end_groups(pids, settings.data_dir)
    return [*found, f"{rest} processes that they had started"] if rest else found
