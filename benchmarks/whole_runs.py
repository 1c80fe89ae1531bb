"""Whole Dagster runs: one month start to end, the same month unchanged, and a backfill of many through the daemon."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from benchmarks.measure import race, run
from benchmarks.run_processes import run_processes
from benchmarks.section import Section
from benchmarks.ui import run_seconds
from benchmarks.workbench import MONTH, MONTH_ROWS, Workbench, workbench

HEADER = ("what", "seconds", "peak MiB", "to reach")
BACKFILL = ("2019-01-01", "2020-12-01")
BACKFILL_MONTHS = 24
BACKFILL_ROWS = 20_000
LIMIT_SECONDS = 900.0
STAGES = ("fetch", "archive", "clean", "bigquery", "postgres")


def whole_runs(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Run a month of yellow from CSV through all five assets, the same again, and 24 small months of green."""
    source = bench.sample(MONTH_ROWS, "csv.gz")
    environ = dict(bench.environ) | {"TAXI_SOURCE": template(source)}
    say("One month, file to both warehouses ...")
    first, peak = materialize(environ)
    say("The same month, unchanged ...")
    again = [materialize(environ) for _ in range(runs)]
    unchanged = sorted(seconds for seconds, _ in again)[runs // 2]
    say("The same month through the UI, the queue and the daemon ...")
    launched, launched_again, share = _launched(source, runs)
    say("Its stages, each alone ...")
    stages = _stages(bench, source, runs)
    say(f"{BACKFILL_MONTHS} small months as one backfill through the daemon ...")
    month = _backfill(bench)
    whole = f"dagster asset materialize, {MONTH_ROWS:,} rows, file to both warehouses"
    rows = [
        HEADER,
        (whole, f"{first:.1f}", str(peak), "≤ 9"),
        ("its stages, each alone: " + ", ".join(STAGES), f"{stages:.1f}", "", ""),
        ("the same month unchanged, nothing downloaded", f"{unchanged:.1f}", str(max(p for _, p in again)), "≤ 3"),
        ("the month as a run of the daemon, from the UI's launch to success", f"{launched:.1f}", "", "≤ 7"),
        ("the same, unchanged", f"{launched_again:.1f}", "", "≤ 1"),
        (
            f"a month of {BACKFILL_MONTHS} in one backfill, two at a time",
            f"{month:.1f}",
            "",
            "≤ 1.3",
        ),
        ("the fork server, which runs share", "", str(share), ""),
        ("taxi --help", f"{_help(bench, runs):.2f}", "", "≤ 0.25"),
    ]
    return Section("Whole runs", rows, ["Seconds of whole processes, start-up included; the backfill's by month."])


def materialize(environ: dict[str, str], *options: str) -> tuple[float, int]:
    """Seconds and peak MiB of one month of yellow, a process of its own."""
    select = ["--select", "group:yellow", "--partition", MONTH.isoformat()]
    return run([sys.executable, "-m", "dagster", "asset", "materialize", *select, *options], environ)


def _launched(source: Path, runs: int) -> tuple[float, float, int]:
    """Seconds of the month's run and of one that finds nothing new, and MiB of the fork server that both came from.

    In a stack of its own, whose source is the month's file. A first run of another dataset has started the fork server.
    """
    with workbench(dagster=True, TAXI_SOURCE=template(source), TAXI_ZONES_SOURCE="sample") as bench:
        run_seconds(bench, "housekeeping_job")
        first = run_seconds(bench, "yellow_month_job", MONTH.isoformat())
        again = statistics.median(run_seconds(bench, "yellow_month_job", MONTH.isoformat()) for _ in range(runs))
        return first, again, max(process.memory_info().rss for process in run_processes(bench, "fork server")) >> 20


def _help(bench: Workbench, runs: int) -> float:
    """Seconds of the command's help, which imports no more than it needs."""
    command = [sys.executable, "-m", "taxi_assets.cli.main", "--help"]
    return statistics.median(run(command, dict(bench.environ))[0] for _ in range(runs))


def template(source: Path) -> str:
    """TAXI_SOURCE for the folder of a sample file."""
    ending = source.name.partition(".")[2]
    return f"file://{source.parent}/{{dataset}}_tripdata_{{month}}.{ending}"


def _stages(bench: Workbench, source: Path, runs: int) -> float:
    """Seconds of all stages, each measured alone."""
    total = sum(race((stage,), source, bench.folder, runs)[stage].seconds for stage in ("fetch", "archive", "clean"))
    kept = bench.folder / "kept.parquet"
    return total + sum(race((stage,), kept, bench.folder, runs)[stage].seconds for stage in ("bigquery", "postgres"))


def _backfill(bench: Workbench) -> float:
    """Seconds a month of a backfill of sample months, from its request to the last row."""
    dates = ["--from", BACKFILL[0], "--to", BACKFILL[1]]
    # From a folder without a workspace file, as a user may after `taxi env`.
    command = [sys.executable, "-m", "dagster", "job", "backfill", "--job", "green_month_job", *dates, "--noprompt"]
    started = time.perf_counter()
    subprocess.run(command, env=dict(bench.environ), cwd=bench.folder, check=True, capture_output=True)
    query = "SELECT status, count(*) FROM runs WHERE pipeline_name = 'green_month_job' GROUP BY status"
    url = bench.settings.local_postgres_url("dagster")
    while True:
        with psycopg.connect(url) as connection:
            runs: dict[str, int] = dict(connection.execute(query).fetchall())
        if runs.get("SUCCESS") == BACKFILL_MONTHS:
            return (time.perf_counter() - started) / BACKFILL_MONTHS
        if runs.get("FAILURE") or time.perf_counter() - started > LIMIT_SECONDS:
            raise SystemExit(f"The backfill did not finish: {runs}")
        time.sleep(0.2)
