"""Spark on this machine: what it needs, and how it is set up to take at most 2 GB of memory."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from taxi_assets.errors import ServiceError

JAVA = 17
INSTALL = f"install Java {JAVA} or later (on Debian: apt-get install openjdk-17-jre-headless)"
CORES = 4
# The heap; Java and Python take up to 600 MiB more, whatever the heap is.
HEAP = "1100m"
# One collector's thread and few caches: measured, they are what keeps Java itself small.
_OPTIONS = "-XX:+UseSerialGC -XX:MaxMetaspaceSize=256m -XX:ReservedCodeCacheSize=96m -XX:MaxDirectMemorySize=128m"


def check_ready() -> None:
    """Check that there are pyspark and a Java that it runs on.

    Raises:
        ServiceError: One of them is missing; the sentence says what to install.
    """
    if find_spec("pyspark") is None:
        raise ServiceError("The package pyspark is not installed; install the extra: pip install 'taxi-assets[spark]'.")
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None:
        where = f"JAVA_HOME is {home}, which has none" if home else "none is in PATH"
        raise ServiceError(f"Spark needs Java, and {where}; {INSTALL}, or set TAXI_SPARK=dataproc.")
    version = java_version(java)
    if version is None or version < JAVA:
        found = f"is version {version}" if version else "did not say its version"
        raise ServiceError(f"Spark needs Java {JAVA} or later, and {java} {found}; {INSTALL}.")


def java_version(java: str) -> int | None:
    """Return the main version of a Java, or None if it does not start."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    # "17.0.15", and "1.8.0_422" before 9.
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(match[1]) if match and done.returncode == 0 else None


def cores() -> int:
    """Return how many cores Spark takes of this machine's."""
    return min(CORES, os.cpu_count() or 1)


def configuration(folder: Path) -> dict[str, str]:
    """Return Spark's settings for this machine; what does not fit into memory goes to the folder."""
    return {
        "spark.master": f"local[{cores()}]",
        "spark.driver.memory": HEAP,
        "spark.driver.extraJavaOptions": _OPTIONS,
        # Nothing listens beyond this machine.
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "16",
        "spark.local.dir": str(folder),
    }


def environment(folder: Path) -> Mapping[str, str]:
    """Return variables that keep another Spark's settings out."""
    spec = find_spec("pyspark")
    assert spec is not None, "checked by check_ready"
    return {
        "SPARK_HOME": str(Path(spec.origin or "").parent),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(folder),
        "PYSPARK_SUBMIT_ARGS": "pyspark-shell",
    }
