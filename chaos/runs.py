"""Runs of `dagster asset materialize`, each in a process forked from one that has loaded the code.

A run may be given a `Fault` to install in its own process.
"""

import itertools
import multiprocessing
import os
import runpy
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from chaos.months import Month

# A run that takes this long hangs.
LIMIT_SECONDS = 120.0


class Fault(Protocol):
    """What a run does to itself. Its process imports it, so that it can be pickled."""

    def install(self) -> None:
        """Prepare it in the run's process, before the run begins."""


@dataclass
class Run:
    """A process that materializes a month; `version` is what the source had when it started."""

    process: Any
    log: Path
    version: int

    def is_over(self) -> bool:
        """Return whether the process has ended."""
        return self.process.exitcode is not None

    @property
    def succeeded(self) -> bool:
        """Return whether the process has ended in success."""
        return self.process.exitcode == 0  # type: ignore[no-any-return]

    @property
    def last_words(self) -> str:
        """Return the exit code and the end of the log."""
        lines = [line for line in self.log.read_text().strip().splitlines() if line.strip()]
        return f"{self.process.exitcode}: {' / '.join(lines[-3:])[-600:]}"

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

    def start(self, month: Month, version: int, fault: Fault | None = None) -> Run:
        """Start the run of a month's five assets, of which the source has that version."""
        log = self._folder / f"run-{next(self._numbers)}.log"
        log.touch()
        process = self._context.Process(target=_materialize, args=(month.dataset, month.partition, str(log), fault))
        process.start()
        return Run(process, log, version)


def _materialize(dataset: str, partition: str, log: str, fault: Fault | None) -> None:
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    if fault:
        fault.install()
    sys.argv = ["dagster", "asset", "materialize", "-m", "taxi_assets.definitions"]
    sys.argv += ["--select", f"group:{dataset}", "--partition", partition]
    runpy.run_module("dagster", run_name="__main__", alter_sys=True)
