"""The processes that a workbench's runs are made of."""

from collections.abc import Iterator
from contextlib import suppress

import psutil

from benchmarks.workbench import Workbench


def run_processes(bench: Workbench, kind: str) -> Iterator[psutil.Process]:
    """Yield this stack's fork servers, their forks or the code servers that they belong to."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TAXI_DATA_DIR") != str(bench.settings.data_dir):
                continue
            if "multiprocessing.forkserver" not in " ".join(process.cmdline()):
                continue
            parent = process.parent()
            is_fork = parent is not None and "multiprocessing.forkserver" in " ".join(parent.cmdline())
            if kind == ("run" if is_fork else "fork server"):
                yield process
            elif kind == "code server" and not is_fork and parent is not None:
                yield parent
