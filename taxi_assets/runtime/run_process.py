"""The process of a run that no code server started, as `dagster asset materialize` and `taxi materialize` make it.

Nothing of Dagster's reports that such a process was killed. A tag of the run names the process, and run monitoring
looks for it (see `launcher.py`).
"""

import json
import os
import socket
from contextlib import suppress
from pathlib import Path

import psutil

TAG = "taxi/process"
_BOOT_ID, _PROCESSES = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")


def tags() -> dict[str, str]:
    """Return a tag with what identifies this process for ever: its machine, that one's start, its number and start."""
    return {TAG: json.dumps({**_machine(), "pid": os.getpid(), "started": _started(os.getpid())})}


def is_gone(tag: str | None) -> bool:
    """Return whether the process of a tag is known to have ended. Of another machine or container nothing is known.

    What a machine's own end leaves is settled when the stack starts again (see `orphaned_runs.py`).
    """
    with suppress(ValueError, TypeError, KeyError):
        found = json.loads(tag or "")
        machine = _machine()
        is_here = {name: found[name] for name in machine} == machine
        return is_here and _started(int(found["pid"])) != found["started"]
    return False


def _machine() -> dict[str, str]:
    """Return the machine's name, its start and the container, if any, in which process numbers count."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    container = str(_PROCESSES.readlink()) if _PROCESSES.exists() else ""
    return {"host": socket.gethostname(), "boot": boot, "container": container}


def _started(pid: int) -> str | None:
    """Return when the process started, or None if it has ended.

    Linux counts it from the machine's start. psutil's time would change when the clock is set.
    """
    with suppress(FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):
        if not _PROCESSES.exists():
            return str(psutil.Process(pid).create_time())
        # The name, in parentheses, may contain anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        state, started = fields[0], fields[19]
        return None if state in "ZX" else started
    return None
