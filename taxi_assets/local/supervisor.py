"""Start, stop and report the local stack: what `taxi up`, `taxi down` and `taxi status` do."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from taxi_assets.errors import ServiceError
from taxi_assets.local import processes, services, state
from taxi_assets.local.services import Service
from taxi_assets.local.stack import (
    AlreadyRunningError,
    ServiceEndedError,
    Stack,
    StopRequestedError,
    end_left_behind,
    make_folders,
)
from taxi_assets.settings import PROJECT_ROOT, Settings

Report = Callable[[str], None]

_DOWN_SECONDS = 60.0


def run_foreground(settings: Settings, *, dagster: bool, report: Report, when_up: Callable[[], None]) -> None:
    """Run a stack until SIGINT, SIGTERM or SIGHUP stops it; call `when_up` in a thread when all services respond.

    Raises:
        ServiceError: It could not start, or a service ended by itself; all others are stopped then.
    """

    def report_ready(service: Service, seconds: float) -> None:
        report(_ready_line(service.name, service.address, seconds))

    stack = Stack(settings, dagster=dagster, report=report_ready)
    with _stopping_on_signals(stack):
        try:
            stack.start()
            report(_next_steps(settings, dagster))
            report("Ctrl-C stops all; the data stays.")
            # A thread that is left behind when the stack stops meanwhile: it can be done at the next start.
            threading.Thread(target=when_up, daemon=True).start()
            stack.watch()
            report("Stopping.")
        except AlreadyRunningError:
            report(_wait_for_other(settings, dagster))
            return
        except StopRequestedError:
            pass
        except ServiceEndedError as error:
            stack.stop(error)
            _report_tail(error.service.log, report)
            raise
        finally:
            # Also when the terminal was closed and nothing can be printed any more.
            stack.stop()
        report(f"Stopped. The data is in {settings.data_dir}.")


def start_detached(settings: Settings, *, dagster: bool, report: Report) -> None:
    """Start a stack that outlives this command and its shell. Return when all services respond.

    Raises:
        ServiceError: It could not start; nothing is left running.
    """
    running = state.read(settings.data_dir)
    if running is not None and running.supervised():
        report(_wait_for_other(settings, dagster))
        return
    log = make_folders(settings) / "stack.log"
    command = [sys.executable, "-u", "-m", "taxi_assets.local", *([] if dagster else ["--no-dagster"])]
    with log.open("ab") as output:
        supervisor = subprocess.Popen(
            command,
            # Its folder is the project's, where this package can be imported; paths were made absolute.
            cwd=PROJECT_ROOT,
            env={**os.environ, "TAXI_DATA_DIR": str(settings.data_dir)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    reported: set[str] = set()
    while True:
        ended = supervisor.poll() is not None
        current = state.read(settings.data_dir)
        if current is not None and current.supervisor_pid == supervisor.pid:
            for name, entry in current.services.items():
                if entry.ready_seconds is not None and name not in reported:
                    reported.add(name)
                    report(_ready_line(name, entry.address, entry.ready_seconds))
            if current.phase == "running":
                report(_next_steps(settings, dagster))
                report("It runs in the background; `taxi down` stops it.")
                return
            if ended and current.failed_service is not None:
                _report_tail(Path(current.services[current.failed_service].log), report)
        if ended:
            if current is not None and current.supervisor_pid != supervisor.pid and current.supervised():
                report(_wait_for_other(settings, dagster))
                return
            reason = current.reason if current is not None and current.supervisor_pid == supervisor.pid else None
            raise ServiceError(reason or f"The stack ended with exit code {supervisor.returncode}; see {log}.")
        time.sleep(0.05)


def stop(settings: Settings) -> list[str]:
    """Stop the stack, and what a killed supervisor left running. Return the names of what was stopped.

    Raises:
        ServiceError: The supervisor did not end within 60 seconds.
    """
    current = state.read(settings.data_dir)
    if current is None:
        return []
    if not current.supervised():
        lock = state.Lock(settings.data_dir)
        if not lock.acquire():
            # Another `taxi up` has just begun and does this itself.
            raise ServiceError("A stack is being started at this moment; run `taxi down` again.")
        try:
            return end_left_behind(settings, current)
        finally:
            lock.release()
    names = [name for name, entry in current.services.items() if state.is_same(entry.pid, entry.identity)]
    os.kill(current.supervisor_pid, signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    while True:
        # The supervisor is itself a process of the stack until it has ended.
        if not state.is_same(current.supervisor_pid, current.supervisor_identity):
            return names[::-1]
        if time.monotonic() > deadline:
            raise ServiceError(
                f"The supervisor (process {current.supervisor_pid}) has not stopped within {_DOWN_SECONDS:.0f} s; see "
                f"{settings.data_dir / 'logs'}."
            )
        time.sleep(0.05)


def status(settings: Settings) -> dict[str, Any]:
    """Return what runs, as `taxi status --json` prints it."""
    current = state.read(settings.data_dir)
    supervised = current is not None and current.supervised()
    phase = current.phase if current is not None and supervised else "stopped"
    reason = current.reason if current else None
    if current is not None and current.phase != "stopped" and not supervised:
        reason = f"the supervisor (process {current.supervisor_pid}) was killed"
    entries = {}
    for name, (address, log) in services.address_and_log(settings).items():
        entry = current.services.get(name) if current else None
        entries[name] = _service_status(entry, address, str(log), supervised)
    running = phase == "running" and all(
        entries[name]["state"] == "running" for name in (current.services if current else {})
    )
    return {
        "running": running,
        "phase": phase,
        "reason": reason,
        "ui": current.ui if current and running else None,
        "supervisor_pid": current.supervisor_pid if current and supervised else None,
        "data_dir": str(settings.data_dir),
        "services": entries,
    }


def _service_status(
    entry: state.ServiceState | None, address: str, log: str, supervised: bool
) -> dict[str, str | int | float | None]:
    if entry is None:
        return {"state": "stopped", "pid": None, "address": address, "log": log, "uptime_seconds": None}
    alive = state.is_same(entry.pid, entry.identity)
    word = entry.state
    if alive:
        word = "running" if entry.state != "starting" else "starting"
    elif entry.state in ("running", "starting"):
        # It ended, and the state file does not show it yet, or the supervisor was killed as well.
        word = "crashed" if supervised and entry.pid is not None else "stopped"
    uptime = round(time.time() - entry.started_at, 1) if alive and entry.started_at else None
    return {
        "state": word,
        "pid": entry.pid if alive else None,
        "address": entry.address,
        "log": entry.log,
        "uptime_seconds": uptime,
    }


def _wait_for_other(settings: Settings, dagster: bool) -> str:
    """Wait until the stack of another process is up, and return a sentence that states so."""
    while True:
        current = state.read(settings.data_dir)
        if current is None or not current.supervised():
            # The holder of the lock may not have written its state yet.
            time.sleep(0.2)
            current = state.read(settings.data_dir)
            if current is None or not current.supervised():
                reason = current.reason if current else None
                raise ServiceError(f"Another `taxi up` began at the same time and failed. {reason or ''}".strip())
        elif current.phase == "running":
            if current.ui:
                return f"Already running: {current.ui}"
            hint = " without Dagster; run `taxi down` first to start it with it" if dagster else ""
            return f"Already running{hint}."
        time.sleep(0.05)


def _next_steps(settings: Settings, dagster: bool) -> str:
    lines = [f"\nDagster's UI: http://127.0.0.1:{settings.ui_port}"] if dagster else [""]
    lines.append(
        'In another shell: eval "$(taxi env)" for dagster, psql and Google\'s clients; `taxi status` shows all.'
    )
    return "\n".join(lines)


def _ready_line(name: str, address: str, seconds: float) -> str:
    return f"✓ {name:<10} {seconds:5.1f} s  {address}"


def _report_tail(log: Path, report: Report) -> None:
    lines = processes.tail(log)
    if lines:
        report(f"The last lines of {log}:")
        report("\n".join(f"    {line}" for line in lines.splitlines()))


@contextmanager
def _stopping_on_signals(stack: Stack) -> Iterator[None]:
    """Stop the stack on the signals of a shell, a service manager and a closed terminal."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stack.stop_requested.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
