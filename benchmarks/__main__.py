"""Runs the benchmarks, prints them and writes results.md beside this file."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import click
import pyarrow.parquet as pq

from benchmarks.stages import MONTH, STAGES
from taxi_assets.local.ports import free_port
from taxi_assets.local.sample import write_sample
from taxi_assets.local.stack import Stack
from taxi_assets.settings import PORT_DEFAULTS, Settings
from taxi_assets.text import table

ROWS = 1_369_769  # yellow 2021-01
RESULTS = Path(__file__).with_name("results.md")


def measure(stage: str, source: Path, folder: Path, runs: int) -> tuple[float, int]:
    """Median seconds of the whole process, start-up included, and the largest peak memory in MiB."""
    seconds, peak = [], 0
    for _ in range(runs):
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.stages", stage, str(source), str(folder)])
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - started)
        if os.waitstatus_to_exitcode(status):
            raise SystemExit(f"{stage} failed")
        peak = max(peak, usage.ru_maxrss // (1024 if sys.platform == "linux" else 1024 * 1024))
    return statistics.median(seconds), peak


@click.command()
@click.option("--runs", default=3, show_default=True, help="Runs of each stage; the median counts.")
@click.option("--large", default=5_000_000, show_default=True, help="Rows of the file that shows how memory grows.")
def main(runs: int, large: int) -> None:
    """Measure each stage beside its opponents on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings.from_environment(
            {"TAXI_DATA_DIR": str(folder / "services"), **{port: str(free_port()) for port in PORT_DEFAULTS}}
        )
        click.echo("Making files ...")
        csv = write_sample("yellow", MONTH, folder, rows=ROWS)
        parquet = write_sample("yellow", MONTH, folder, rows=ROWS, file_format="parquet")
        (folder / "large").mkdir()
        large_csv = write_sample("yellow", MONTH, folder / "large", rows=large)
        rows = [("what", "rows", "seconds", "peak MiB", "ours / this")]

        def compare(what: str, source: Path, ours: str, *opponents: str) -> None:
            results = {stage: measure(stage, source, folder, runs) for stage in (ours, *opponents)}
            for stage, (seconds, peak) in results.items():
                text = (STAGES[stage].__doc__ or "").split(";")[0].strip().rstrip(".")
                rows.append(
                    (f"{what}: {text}", f"{ROWS:,}", f"{seconds:.2f}", str(peak), f"{results[ours][0] / seconds:.2f}")
                )
                click.echo(f"{rows[-1][0]}  {seconds:.2f} s  {peak} MiB")

        compare("csv.gz to Parquet", csv, "clean", "duckdb_copy", "pandas_copy")
        compare("Parquet to Parquet", parquet, "clean", "pyarrow_copy")
        seconds, peak = measure("clean", large_csv, folder, 1)
        rows.append(("csv.gz to Parquet: This project, a larger month", f"{large:,}", f"{seconds:.2f}", str(peak), ""))
        measure("clean", csv, folder, 1)
        kept = folder / "kept.parquet"
        text = folder / "kept.csv"
        measure("write_csv", kept, folder, 1)
        folder.chmod(0o755)  # PostgreSQL may run as another user, and reads the CSV by itself
        with Stack(settings, dagster=False, environ={"PATH": os.environ["PATH"]}).running():
            (folder / "url").write_text(settings.local_postgres_url("taxi"))
            mine, mine_peak = measure("postgres", kept, folder, runs)
            theirs, their_peak = measure("server_copy", text, folder, runs)
        kept_rows = f"{pq.read_metadata(kept).num_rows:,}"
        what = "Parquet to PostgreSQL"
        rows.append((f"{what}: This project, audited and published", kept_rows, f"{mine:.2f}", str(mine_peak), "1.00"))
        rows.append(
            (
                f"{what}: COPY from a CSV on the server",
                kept_rows,
                f"{theirs:.2f}",
                str(their_peak),
                f"{mine / theirs:.2f}",
            )
        )
    click.echo("\n" + table(rows, numbers=range(1, 5)))
    RESULTS.write_text(report(rows, runs))
    click.echo(f"\nWritten to {RESULTS.relative_to(Path.cwd()) if RESULTS.is_relative_to(Path.cwd()) else RESULTS}")


def report(rows: list[tuple[str, ...]], runs: int) -> str:
    """The results as Markdown."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "duckdb", "pandas", "isal", "pgpq"))
    lines = [
        "# Benchmark results",
        "",
        f"`make bench` on {date.today()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, {packages}. Sample files of yellow 2021-01; medians of {runs} runs of whole "
        "processes, start-up included.",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + " --- |" * len(rows[0]),
        *("| " + " | ".join(row) + " |" for row in rows[1:]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
