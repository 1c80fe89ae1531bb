"""All of history: Spark against DuckDB on the same months with the same SQL, and what a cluster would take."""

import json
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from benchmarks import spark_events
from benchmarks.measure import run
from benchmarks.section import Section
from benchmarks.spark_events import Work
from benchmarks.workbench import Workbench
from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.checks import published_rows
from taxi_assets.months import month_text
from taxi_assets.sample.files import MAX_ROWS, write_sample
from taxi_assets.spark import local
from taxi_assets.spark.engine import SCRIPT
from taxi_assets.spark.plan import Plan, build_plan, table_sql
from taxi_assets.spark.tables import HISTORY_TABLES

HEADER = ("rows", "engine", "seconds", "rows/s", "peak MiB", "the same rows")
YELLOW, FIRST_YEAR = DATASETS["yellow"], 2021
# No year of TLC's has more; larger sizes are several years, made at once.
YEAR_ROWS = 12 * MAX_ROWS
COMMANDS = {"DuckDB": ("-m", "benchmarks.duckdb_history"), "Spark": (str(SCRIPT), "--plan")}
EXECUTORS, EXECUTOR_CORES = (4, 16, 64), 4


@dataclass(frozen=True)
class Size:
    """What was measured of one size: the rows, whole seconds of both engines, and the work of Spark's tasks."""

    rows: int
    duckdb: float
    spark: float
    work: Work

    @property
    def start(self) -> float:
        """Seconds in which Spark ran no stage."""
        return self.spark - self.work.span

    @property
    def by_row(self) -> float:
        """Seconds of a core that a row takes."""
        return self.work.parallel / self.rows


def history(bench: Workbench, _runs: int, say: Callable[[str], None], millions: Sequence[int]) -> Section:
    """Make history of each size once with both engines, and estimate all published rows from the largest."""
    rows: list[Sequence[str]] = [HEADER]
    for size in sorted(millions):
        say(f"Making {size} million sample rows ...")
        folder = bench.folder / f"history-{size}"
        months = dict(_months(folder, size * 1_000_000))
        counted = sum(pq.ParquetFile(path).metadata.num_rows for path in months.values())
        plans = _plans(folder, months)
        found = {}
        for engine, plan in plans.items():
            say(f"{engine} ...")
            path = folder / f"{engine}.json"
            path.write_text(json.dumps(plan))
            environ = {**os.environ, **local.environment(folder / "spark")}
            found[engine] = run([sys.executable, *COMMANDS[engine], str(path)], environ, whole_tree=True)
        differing = _differing(plans)
        same = f"{differing:,} differ" if differing else "yes"
        rows += [
            (f"{counted:,}", engine, f"{seconds:.0f}", f"{counted / seconds:,.0f}", str(peak), same)
            for engine, (seconds, peak) in found.items()
        ]
        largest = Size(counted, found["DuckDB"][0], found["Spark"][0], spark_events.work(folder / "events"))
        shutil.rmtree(folder)
    return Section("All of history", rows, [_about(), *_everything(largest)])


def _months(folder: Path, rows: int) -> Iterator[tuple[date, Path]]:
    """Make the kept rows of each month of as many years as the rows need."""
    years = math.ceil(rows / YEAR_ROWS)
    for number in range(12 * years):
        month = date(FIRST_YEAR + number // 12, number % 12 + 1, 1)
        target = folder / month_text(month)
        source = write_sample(YELLOW.name, month, target, rows=rows // (12 * years), file_format="parquet")
        clean_file(source, YELLOW, month, target)
        source.unlink()
        (target / "rejected.parquet").unlink()
        yield month, target / "kept.parquet"


def _plans(folder: Path, months: Mapping[date, Path]) -> dict[str, Plan]:
    """Return each engine's plan: the same files, the same SQL in its dialect, cores and memory."""
    conf = local.configuration(folder / "spark") | spark_events.settings(folder / "events")
    files = [str(path) for path in months.values()]
    spark = build_plan(YELLOW, list(months), files, str(folder / "Spark"), conf)
    tables = {
        name: {"sql": _for_duckdb(table_sql(table, YELLOW.name, list(months), "postgres")), "order": list(table.key)}
        for name, table in HISTORY_TABLES.items()
    }
    settings = {
        "memory_limit": f"{local.HEAP.removesuffix('m')}MiB",
        "threads": local.cores(),
        "temp_directory": str(folder / "duckdb"),
        "preserve_insertion_order": False,
    }
    return {"DuckDB": spark | {"conf": settings, "tables": tables, "out": str(folder / "DuckDB")}, "Spark": spark}


def _for_duckdb(sql: str) -> str:
    """Return PostgreSQL's text with DuckDB's exact type, and without a copy of all trips, which doubles its time."""
    return sql.replace(" AS numeric)", " AS DECIMAL(38, 9))").replace("WITH t AS (", "WITH t AS NOT MATERIALIZED (")


def _differing(plans: Mapping[str, Plan]) -> int:
    """Return how many rows only one engine has; numbers have three decimals."""
    differing = 0
    with duckdb.connect(config={"memory_limit": "4GB"}) as connection:
        for name, table in HISTORY_TABLES.items():
            columns = ", ".join(
                f"ROUND({c.name}, 3) AS {c.name}" if str(c.type).startswith("decimal") else c.name
                for c in table.table.schema.columns
            )
            one, other = (f"SELECT {columns} FROM '{plan['out']}/{name}/*.parquet'" for plan in plans.values())
            for query in (f"{one} EXCEPT ALL {other}", f"{other} EXCEPT ALL {one}"):
                [(count,)] = connection.execute(f"SELECT COUNT(*) FROM ({query})").fetchall()
                differing += count
    return differing


def _about() -> str:
    return (
        f"Sample months of yellow, each drawn by itself and cleaned, from {FIRST_YEAR}-01 on; more than "
        f"{YEAR_ROWS:,} rows are several years. Whole processes, once each, with {local.cores()} cores. Spark's heap "
        f"and DuckDB's memory_limit are {local.HEAP.removesuffix('m')} MiB. Memory is the sum of each process's peak: "
        "Spark is Python and Java. DuckDB runs the text that dbt gives PostgreSQL. To reach: at most 1,907 MiB (2 GB)."
    )


def _everything(size: Size) -> Iterator[str]:
    """Estimate all published rows: a job a year, one after another, each with a part that no executor shortens."""
    counted = published_rows()
    rows = sum(counted.values())
    years = len({(dataset, month[:4]) for dataset, month in counted})
    fixed, shared = years * (size.start + size.work.serial), rows * size.by_row
    yield (
        f"Measured with {size.rows:,} rows: {size.by_row * 1e6:.1f} s of a core for a million rows; {size.start:.0f} s "
        f"in which no task runs; {size.work.serial:.0f} s in stages of one task, such as the sorted file at the end."
    )
    hours = "; ".join(
        f"{n}: {(fixed + shared / (n * EXECUTOR_CORES)) / 3600:.1f} h, of which {fixed / 3600:.1f} h fixed"
        for n in EXECUTORS
    )
    yield (
        f"Extrapolated to {rows:,} rows, in {years} years of a dataset one after another, as {years} x "
        f"({size.start:.0f} s + {size.work.serial:.0f} s) + {shared:,.0f} s / ({EXECUTOR_CORES} N), by N executors of "
        f"{EXECUTOR_CORES} such cores: {hours}. A network between executors and reading from a bucket are not in it."
    )
    alone = rows * size.duckdb / size.rows
    needed = shared / (EXECUTOR_CORES * (alone - fixed)) if alone > fixed else math.inf
    pays = f"more than {needed:.1f} executors" if needed < math.inf else "no number of executors, years one by one"
    yield (
        f"DuckDB on this machine, a year after another: {alone / 3600:.1f} h, extrapolated. Spark is quicker with "
        f"{pays}."
    )
