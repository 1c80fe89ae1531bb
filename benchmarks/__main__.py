"""Runs the benchmarks, prints them and writes results.md beside this file."""

import os
import platform
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import click

from benchmarks.compare import compare, compare_real
from benchmarks.growth import growth
from benchmarks.history import history
from benchmarks.layout import layout
from benchmarks.marts import marts
from benchmarks.model import model
from benchmarks.parts import parts
from benchmarks.section import Section
from benchmarks.whole_runs import whole_runs
from benchmarks.workbench import workbench
from taxi_assets.errors import ServiceError
from taxi_assets.spark import local

RESULTS = Path(__file__).with_name("results.md")
# What was measured once and not chosen; it ends the results.
TRIED = Path(__file__).with_name("tried.md")
PACKAGES = ("dagster", "pyarrow", "isal", "pgpq", "psycopg", "duckdb", "pandas", "dlt", "scikit-learn", "pyspark")
MILLIONS = (10,)
PARTS: dict[str, Callable[..., Section]] = {
    "stages": compare,
    "real": compare_real,
    "parts": parts,
    "runs": whole_runs,
    "layout": layout,
    "growth": growth,
    "model": model,
    "marts": marts,
    "history": history,
}


@click.command()
@click.option("--runs", default=5, show_default=True, help="Runs of each stage; the median counts.")
@click.option(
    "--only", type=click.Choice(list(PARTS)), multiple=True, help="Some of the parts; the results are printed alone."
)
@click.option(
    "--millions",
    type=click.IntRange(min=1),
    multiple=True,
    default=MILLIONS,
    show_default=True,
    help="Sizes of the part `history`, in millions of rows; 500 take about 9 GB of disk, and room for what is spilled.",
)
def main(runs: int, only: tuple[str, ...], millions: tuple[int, ...]) -> None:
    """Measure this project beside its opponents on this machine."""
    parts = PARTS | {"history": partial(history, millions=millions)}
    if not only or "history" in only:
        _check_spark()
    sections = []
    for name in only or parts:
        with workbench(dagster=name == "runs") as bench:
            sections.append(parts[name](bench, runs, click.echo))
        click.echo("\n" + sections[-1].as_text())
    if not only:
        RESULTS.write_text(report(sections, runs))
        click.echo(f"Written to {RESULTS}")


def _check_spark() -> None:
    try:
        local.check_ready()
    except ServiceError as error:
        raise click.ClickException(str(error)) from error


def report(sections: list[Section], runs: int) -> str:
    """Return the results as Markdown."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"{os.cpu_count()} cores, {_memory()} GiB of memory, {platform.system()} {platform.machine()}"
    about = (
        f"`make bench` on {date.today()}: {machine}, Python {platform.python_version()}, PostgreSQL 18.4, {packages}. "
        f"Sample files of yellow 2021-01 unless TLC's are named; medians of {runs} runs, taken in turns."
    )
    parts = [*(section.as_markdown() for section in sections), TRIED.read_text()]
    return "\n".join(["# Benchmark results", "", about, "", *parts])


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))


if __name__ == "__main__":
    main()
