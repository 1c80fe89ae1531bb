"""What tests of Spark share: a skip without Java, and a Java that does not compile what runs once."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from taxi_assets.spark.engine import SCRIPT

needs_java = pytest.mark.skipif(
    shutil.which("java") is None or find_spec("pyspark") is None,
    reason="no Java here (openjdk-17-jre-headless), or no pyspark (make install-spark)",
)
# Half the time of small files is the compiler's.
QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}


def java_processes() -> list[psutil.Process]:
    """Return the Javas of Spark that this process started, or that such a process started."""
    # Not one that is asked for its version.
    return [
        process
        for process, command in _commands().items()
        if command[:1] and Path(command[0]).name == "java" and any("spark" in part for part in command)
    ]


def script_processes() -> list[psutil.Process]:
    """Return the script, which is there before its Java is."""
    return [process for process, command in _commands().items() if str(SCRIPT) in command]


def _commands() -> dict[psutil.Process, list[str]]:
    found = {}
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            found[process] = process.cmdline()
    return found


@contextmanager
def killed_when(
    moment: Callable[[], bool], processes: Callable[[], list[psutil.Process]] = java_processes
) -> Iterator[list[int]]:
    """Kill processes as soon as there are some and the moment has come; yield the list of those killed."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if not moment():
                continue
            for process in processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                    killed.append(process.pid)
            if killed:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()
