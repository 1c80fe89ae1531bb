"""Scratch folders for unfinished files, which are removed even if their owner is killed."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent` and remove it at the end; first remove those whose owners were killed.

    The owner holds a lock on its folder, which the operating system drops with the process.
    """
    parent.mkdir(parents=True, exist_ok=True)
    gate = os.open(parent, os.O_RDONLY)
    try:
        # Under a lock; otherwise another process's sweep could remove the new folder before it is locked.
        fcntl.flock(gate, fcntl.LOCK_EX)
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix="work-", dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
    finally:
        os.close(gate)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def abandoned_folders(parent: Path) -> list[Path]:
    """Return the scratch folders whose owners are gone."""
    return [folder for folder in sorted(parent.glob("work-*")) if _if_abandoned(folder, lambda: None)]


def remove_abandoned(folder: Path) -> None:
    """Remove a scratch folder unless its owner is alive."""
    _if_abandoned(folder, lambda: shutil.rmtree(folder, ignore_errors=True))


def _sweep(parent: Path) -> None:
    for folder in parent.glob("work-*"):
        remove_abandoned(folder)


def _if_abandoned(folder: Path, act: Callable[[], None]) -> bool:
    """Run `act` under the folder's lock. Return False if another process holds it."""
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            act()
            return True
        finally:
            os.close(lock)
    return False
