"""What a stack leaves on disk for other commands: its state file and its lock.

The lock decides whether a stack may start, the state file lists what runs. After a kill neither prevents a start: the
lock is free when its holder has ended, and a process in the state file counts only if it is still the same one.
"""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

STATE_FILE = "stack.json"
LOCK_FILE = "stack.lock"
# There after a crash until what was being written has been compared; holds when the stack that crashed had started.
CRASH_FILE = "crashed"


@dataclass
class ServiceState:
    """One service; times are seconds since 1970."""

    address: str
    log: str
    pid: int | None = None
    identity: str | None = None
    state: str = "stopped"  # starting, running, crashed or stopped
    started_at: float | None = None
    ready_seconds: float | None = None


@dataclass
class StackState:
    """One stack; `reason` is why it ended, if it was not stopped."""

    phase: str  # starting, running or stopped
    supervisor_pid: int
    supervisor_identity: str | None
    dagster: bool
    ui: str | None
    started_at: float
    reason: str | None = None
    failed_service: str | None = None
    services: dict[str, ServiceState] = field(default_factory=dict)

    def crashed(self) -> bool:
        """Return whether the stack ended otherwise than by being stopped."""
        return not self.supervised() and (self.phase != "stopped" or self.failed_service is not None)

    def supervised(self) -> bool:
        """Return whether the supervisor that wrote this is alive and has not stopped its stack."""
        return self.phase != "stopped" and is_same(self.supervisor_pid, self.supervisor_identity)


def read(data_dir: Path) -> StackState | None:
    """Return the last state written, or None if there is none that this version can read."""
    try:
        raw: dict[str, Any] = json.loads((data_dir / STATE_FILE).read_text())
        services = {name: ServiceState(**service) for name, service in raw.pop("services").items()}
        return StackState(**raw, services=services)
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return None


def write(data_dir: Path, state: StackState) -> None:
    """Replace the state file."""
    # Renamed when whole, so that a reader or a kill never meets half a file.
    temporary = data_dir / f"{STATE_FILE}.new"
    temporary.write_text(json.dumps(asdict(state), indent=2) + "\n")
    temporary.replace(data_dir / STATE_FILE)


def crashed_since(data_dir: Path) -> float | None:
    """Return since when, in seconds since 1970, a stack that crashed may have left months half written."""
    try:
        return float((data_dir / CRASH_FILE).read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return 0.0  # a kill while it was written


def note_crash(data_dir: Path, since: float) -> None:
    """Note that a stack crashed which had started then; an earlier note stays."""
    if crashed_since(data_dir) is None:
        (data_dir / CRASH_FILE).write_text(str(since))


def forget_crash(data_dir: Path) -> None:
    """Forget the crash: what was being written has been compared."""
    (data_dir / CRASH_FILE).unlink(missing_ok=True)


def identity(pid: int) -> str | None:
    """Return a text that no other process with this number will ever have; None if there is no such process."""
    if sys.platform == "linux":
        # Kernel ticks since boot: psutil's create_time is wall-clock time, which moves when the clock is set.
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        # Field 3 of proc(5) is the state, 22 the start; a zombie has ended, whether or not anyone reaps it.
        return None if fields[0] in "ZX" else f"{boot}-{fields[19]}"
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except psutil.NoSuchProcess:
        return None


def is_same(pid: int | None, expected: str | None) -> bool:
    """Return whether process `pid` runs and is the one that `expected` was taken from."""
    return pid is not None and expected is not None and identity(pid) == expected


class Lock:
    """The right to run a stack in a data folder. One process holds it; it is free again when that one ends."""

    def __init__(self, data_dir: Path) -> None:
        self._lock = FileLock(data_dir / LOCK_FILE, mode=0o600, blocking=False)

    def acquire(self) -> bool:
        """Take the lock if nobody has it. Return whether it is ours."""
        try:
            self._lock.acquire()
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Release the lock if it is held."""
        self._lock.release()
