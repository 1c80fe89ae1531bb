"""Runs a stage as a process of its own and says how long it took and how much memory it held at its peak."""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Measured:
    """Medians of several runs, `seconds` without and `process_seconds` with start-up and imports; the largest peak."""

    seconds: float
    process_seconds: float
    peak_mib: int


def run(
    command: Sequence[str], environ: Mapping[str, str] | None = None, *, whole_tree: bool = False
) -> tuple[float, int]:
    """Seconds and peak memory in MiB of a whole process.

    With `whole_tree` the memory is that of the processes that it starts, too: the sum of each one's peak, which may be
    more than they held at once.

    Raises:
        SystemExit: it failed; what it said is shown.
    """
    peak = 0
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            pids = _tree(process.pid) if whole_tree else [process.pid]
            peak = max(peak, sum(_peak_kib(pid) for pid in pids))
            # To find children takes a hundredth of a second itself, and a peak is not missed by looking seldom.
            time.sleep(0.25 if whole_tree else 0.01)
        seconds = time.perf_counter() - started
        output.seek(0)
        said = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{said.decode(errors='replace')[-3000:]}")
    return seconds, peak // 1024


def _tree(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def _peak_kib(pid: int) -> int:
    """Return the largest memory that the process has held so far; 0 where the system does not say.

    Not what wait4 tells: that counts in what the process that started it held.
    """
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def race(stages: Sequence[str], source: Path, folder: Path, runs: int) -> dict[str, Measured]:
    """Each stage on the same file, in turns, so that a slow moment of the machine meets all of them."""
    found: dict[str, list[tuple[float, float, int]]] = {stage: [] for stage in stages}
    result = folder / "seconds"
    for _ in range(runs):
        for stage in stages:
            command = [sys.executable, "-m", "benchmarks.stages", stage, str(source), str(folder), str(result)]
            process_seconds, peak = run(command)
            found[stage].append((float(result.read_text()), process_seconds, peak))
    return {
        stage: Measured(
            statistics.median(seconds for seconds, _, _ in each),
            statistics.median(seconds for _, seconds, _ in each),
            max(peak for _, _, peak in each),
        )
        for stage, each in found.items()
    }
