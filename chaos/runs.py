"""Runs of `dagster asset materialize`, each in a process forked from one that has loaded the code.

A run may be given a moment in itself, a call of a function, at which it kills, pauses or fails.
"""

import errno
import itertools
import multiprocessing
import os
import runpy
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from chaos.months import Month

# A run that takes this long hangs.
LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Point:
    """A moment in a run, before or after the given call of `module:name` or `module:Class.name`, and what happens."""

    function: str
    call: int
    after: bool
    act: str  # kill, pause, interrupt, terminate, disk-full, read-only

    def __str__(self) -> str:
        """Return it in a few words."""
        return (
            f"{self.act} {'after' if self.after else 'before'} call {self.call} of {self.function.rpartition(':')[2]}"
        )


@dataclass
class Run:
    """A process that materializes a month; `version` is what the source had when it started."""

    process: Any
    log: Path
    version: int

    def is_over(self) -> bool:
        """Return whether the process has ended."""
        return self.process.exitcode is not None

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if not self.is_over():
            os.kill(self.process.pid, number)

    def wait(self, seconds: float = LIMIT_SECONDS) -> int | None:
        """Return the exit code, or None if the process has not ended after that time."""
        self.process.join(seconds)
        return self.process.exitcode  # type: ignore[no-any-return]

    def end(self) -> None:
        """End the process at once."""
        if not self.is_over():
            self.process.kill()
            self.process.join()


class Runner:
    """Start runs. The environment of this process, when the first one starts, is that of all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["chaos.preload"])

    def start(self, month: Month, version: int, point: Point | None = None) -> Run:
        """Start the run of a month's five assets, of which the source has that version."""
        log = self._folder / f"run-{next(self._numbers)}.log"
        log.touch()
        process = self._context.Process(target=_materialize, args=(month.dataset, month.partition, str(log), point))
        process.start()
        return Run(process, log, version)


def _materialize(dataset: str, partition: str, log: str, point: Point | None) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if point:
        _install(point)
    sys.argv = ["dagster", "asset", "materialize", "-m", "taxi_assets.definitions"]
    sys.argv += ["--select", f"group:{dataset}", "--partition", partition]
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)


def _install(point: Point) -> None:
    """Act when the moment comes."""
    module, _, path = point.function.partition(":")
    *parents, name = path.split(".")
    owner: Any = import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls, act = getattr(owner, name), itertools.count(1), _ACTS[point.act]

    def watched(*arguments: Any, **named: Any) -> Any:
        mine = next(calls) == point.call
        if mine and not point.after:
            act()
        result = original(*arguments, **named)
        if mine and point.after:
            act()
        return result

    setattr(owner, name, watched)


def _signal(number: signal.Signals) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


def _fail(code: int) -> Callable[[], None]:
    def act() -> None:
        raise OSError(code, os.strerror(code))

    return act


_ACTS: dict[str, Callable[[], None]] = {
    "kill": _signal(signal.SIGKILL),
    "pause": _signal(signal.SIGSTOP),
    "interrupt": _signal(signal.SIGINT),
    "terminate": _signal(signal.SIGTERM),
    "disk-full": _fail(errno.ENOSPC),
    "read-only": _fail(errno.EROFS),
}
