"""Each stage beside what people use instead, on the same file in the same run."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from benchmarks.measure import Measured, race
from benchmarks.section import Section
from benchmarks.stages import title
from benchmarks.workbench import MONTH_ROWS, TLC, Workbench

HEADER: tuple[str, ...] = ("stage", "rows", "seconds", "as a process", "peak MiB", "ratio", "to reach")
# For each opponent, the ratio to reach: our seconds by theirs at most, or theirs by ours at least.
AT_MOST = {"duckdb_copy": 1.0, "pyarrow_copy": 1.5, "server_copy": 1.1}
TIMES_FASTER = {"pandas_copy": 12.0, "pandas_to_sql": 15.0, "dlt_pipeline": 7.0}
REAL = {"csv.gz": ("duckdb_copy", "pandas_copy"), "parquet": ("pyarrow_copy",)}


def compare(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Compare cleaning from CSV and from Parquet, and loading PostgreSQL, with their opponents."""
    rows: list[tuple[str, ...]] = [HEADER]

    def against(what: str, source: Path, count: int, ours: str, *opponents: str) -> None:
        say(f"{what}: {', '.join((ours, *opponents))} ...")
        rows.extend(_rows(what, count, race((ours, *opponents), source, bench.folder, runs), ours))

    csv, parquet = (bench.sample(MONTH_ROWS, file_format) for file_format in ("csv.gz", "parquet"))
    against("csv.gz → Parquet", csv, MONTH_ROWS, "clean", "duckdb_copy", "pandas_copy")
    kept = _with_csv(bench.folder / "kept.parquet")
    against("kept Parquet → PostgreSQL", kept, _count(kept), "postgres", "server_copy", "pandas_to_sql", "dlt_pipeline")
    against("Parquet → Parquet", parquet, MONTH_ROWS, "clean", "pyarrow_copy")
    return Section(
        "Stages and their opponents",
        rows,
        [
            "Seconds are of the stage alone; `as a process` adds Python's start and all imports. Ratios are of "
            "seconds: ours by theirs where a bound is to be kept, theirs by ours where we are to be faster.",
        ],
    )


def compare_real(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Clean TLC's own files that lie beside the project: the largest of each format, which are small."""
    rows = [HEADER[:-1]]
    for ending, opponents in REAL.items():
        for source in sorted(TLC.glob(f"*.{ending}"), key=lambda path: path.stat().st_size)[-1:]:
            say(f"{source.name}: clean, {', '.join(opponents)} ...")
            results = race(("clean", *opponents), source, bench.folder, runs)
            rows.extend(row[:-1] for row in _rows(source.name, _raw_rows(bench.folder), results, "clean"))
    note = "What is to be reached is said of a month twenty times as large: here what each costs by itself weighs more."
    return Section("Files as TLC published them", rows, [note if len(rows) > 1 else "None lie beside the project."])


def _rows(what: str, count: int, results: dict[str, Measured], ours: str) -> Iterator[tuple[str, ...]]:
    for stage, found in results.items():
        ratio = goal = ""
        if stage in AT_MOST:
            ratio = f"{results[ours].seconds / found.seconds:.2f}"
            goal = f"≤ {AT_MOST[stage]}"
        elif stage in TIMES_FASTER:
            ratio = f"{found.seconds / results[ours].seconds:.1f} x faster"
            goal = f"≥ {TIMES_FASTER[stage]:.0f} x faster"
        times = (f"{found.seconds:.2f}", f"{found.process_seconds:.2f}")
        yield (f"{what}: {title(stage)}", f"{count:,}", *times, str(found.peak_mib), ratio, goal)


def _with_csv(kept: Path) -> Path:
    """Copy the kept rows, which the next cleaning would replace, and write the CSV for `server_copy` beside them."""
    copy = kept.with_name("loaded.parquet")
    copy.write_bytes(kept.read_bytes())
    pc_csv.write_csv(pq.read_table(copy), copy.with_suffix(".csv"), pc_csv.WriteOptions(quoting_style="none"))
    return copy


def _count(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _raw_rows(folder: Path) -> int:
    return sum(_count(folder / name) for name in ("kept.parquet", "rejected.parquet"))
