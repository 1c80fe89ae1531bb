"""What tests of Spark share: a skip without Java, and a Java that does not compile what runs once."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import psutil
import pytest

needs_java = pytest.mark.skipif(
    shutil.which("java") is None or find_spec("pyspark") is None,
    reason="no Java here (openjdk-17-jre-headless), or no pyspark (make install-spark)",
)
# Half the time of small files is the compiler's.
QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}


def java_processes() -> list[psutil.Process]:
    """Return the Javas of Spark that this process started, or that such a process started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            # Not one that is asked for its version.
            is_spark = process.name() == "java" and any("spark" in part for part in process.cmdline())
            found += [process] if is_spark else []
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


@contextmanager
def java_killed_when(moment: Callable[[], bool]) -> Iterator[list[int]]:
    """Kill Java as soon as there is one and the moment has come; yield the list of those killed."""
    killed: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            if not moment():
                continue
            for process in java_processes():
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
