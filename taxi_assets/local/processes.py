"""Child processes: starting one that dies with its parent, and ending one with all it started."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import psutil

from taxi_assets.local.state import identity, is_same

_PR_SET_PDEATHSIG = 1
_GROUP_SECONDS = 5.0


def spawn(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, death_signal: signal.Signals
) -> subprocess.Popen[bytes]:
    """Start a process with its own session, so that Ctrl-C does not reach it, writing to `log`.

    On Linux the kernel sends it `death_signal` if its parent dies, even by SIGKILL. That parent is the thread
    that called: call from one that lives as long as the child should.
    """
    cwd.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_child_setup(death_signal),
        )


def _child_setup(death_signal: signal.Signals) -> Callable[[], None]:
    parent = os.getpid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def setup() -> None:
        # A shell that runs us in the background ignores SIGINT, which children would inherit.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:
                # The parent died between fork and prctl, so no signal will come.
                os._exit(1)

    return setup


def end(pid: int, known_identity: str | None, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Stop a process by each signal in turn, waiting the seconds of each, and by SIGKILL at last.

    Nothing happens if process `pid` is not the one meant.
    """
    for number, patience in (*signals, (signal.SIGKILL, 5.0)):
        if not is_same(pid, known_identity):
            return
        _signal(pid, number)
        _wait_until(lambda: not is_same(pid, known_identity), patience)


def end_groups(groups: Iterable[int], data_dir: Path) -> int:
    """End what services left behind in their process groups, code servers and run workers; how many."""
    wanted = set(groups)
    found: set[int] = set()
    for number in (signal.SIGTERM, signal.SIGKILL):
        members = _members(wanted, data_dir)
        if not members:
            break
        found.update(members)
        for pid in members:
            _signal(pid, number)
        _wait_until(partial(_all_ended, members), _GROUP_SECONDS)
    return len(found)


def _all_ended(members: Mapping[int, str]) -> bool:
    return not any(is_same(pid, known) for pid, known in members.items())


def _members(groups: set[int], data_dir: Path) -> dict[int, str]:
    """Return the living processes of these groups by number.

    A group's number may be another's by now, so each must also carry the data folder in its environment.
    """
    found = {}
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) not in groups or process.environ().get("TAXI_DATA_DIR") != str(data_dir):
                continue
        except (psutil.Error, OSError):
            continue
        known = identity(process.pid)
        if known is not None:
            found[process.pid] = known
    return found


def tail(log: Path, lines: int = 10) -> str:
    """Return the last lines of a log; empty if there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
