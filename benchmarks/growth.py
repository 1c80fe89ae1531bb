"""How time and memory grow with the rows of a month, and what all published months would take."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.measure import Measured, race
from benchmarks.section import Section
from benchmarks.whole_runs import materialize, template
from benchmarks.workbench import Workbench
from taxi_assets.defs.checks import published_rows

SIZES = (100_000, 1_369_769, 5_000_000, 25_000_000)
WORKERS = (1, 2, 4, 8, 16)
LOADS_AT_ONCE = 8
AGAIN = ("clean_parquet", "bigquery_table", "postgres_table")
WHOLE = ("whole run from csv.gz", "whole run from Parquet")
HEADER = (
    "rows",
    *(f"{what}, {unit}" for what in ("csv.gz", "Parquet", "PostgreSQL", *WHOLE) for unit in ("s", "MiB")),
)


def growth(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Measure the stages and a whole run at four sizes."""
    rows: list[Sequence[str]] = [HEADER]
    found = []
    for size in SIZES:
        say(f"{size:,} rows ...")
        times = 1 if size > 2_000_000 else runs
        csv, parquet = (bench.sample(size, file_format) for file_format in ("csv.gz", "parquet"))
        from_csv = race(("clean",), csv, bench.folder, times)["clean"]
        from_parquet = race(("clean",), parquet, bench.folder, times)["clean"]
        kept = bench.folder / "kept.parquet"
        postgres = race(("postgres",), kept, bench.folder, times)["postgres"]
        whole = [_whole_runs(bench, source, times) for source in (csv, parquet)]
        found.append((size, postgres.seconds, *whole[0], whole[1][1]))
        stages = [cell for one in (from_csv, from_parquet, postgres) for cell in _cells(one)]
        rows.append(
            (f"{size:,}", *stages, *(cell for seconds, peak in whole for cell in (f"{seconds:.1f}", str(peak))))
        )
        shutil.rmtree(csv.parent)
    return Section("Growth", rows, [_memory(found), *_everything(found)])


def _whole_runs(bench: Workbench, source: Path, times: int) -> tuple[float, int]:
    """Seconds of the first run, and the largest peak; all do all the work."""
    config = {"ops": {f"yellow__{name}": {"config": {"force": True}} for name in AGAIN}}
    environ = dict(bench.environ) | {"TAXI_SOURCE": template(source)}
    found = [materialize(environ, "--config-json", json.dumps(config)) for _ in range(times)]
    return found[0][0], max(peak for _, peak in found)


def _cells(one: Measured) -> tuple[str, str]:
    return f"{one.seconds:.2f}", str(one.peak_mib)


def _memory(found: list[tuple[int, float, float, int, int]]) -> str:
    (*_, csv, parquet), (*_, large_csv, large_parquet) = found[1], found[-1]
    by_csv, by_parquet = large_csv / csv - 1, large_parquet / parquet - 1
    return (
        f"Peak memory of a whole run grows by {by_csv:.0%} from CSV and by {by_parquet:.0%} from Parquet, from "
        f"{SIZES[1]:,} to {SIZES[-1]:,} rows; to reach: at most 600 MB (572 MiB), growing less than 10 %. It is the "
        "largest of several runs up to two million rows, and of one beyond: how many blocks are on their way at the "
        "worst moment is chance, and a long run meets it surely. 260 MiB of it are there before the first row: "
        "Dagster, Arrow, pandas and Google's clients."
    )


def _everything(found: list[tuple[int, float, float, int, int]]) -> list[str]:
    """Estimate from the smallest and the largest whole run: a fixed cost a month and a cost a row."""
    (few, _, short, *_), (many, copy, long, *_) = found[0], found[-1]
    by_row = (long - short) / (many - few)
    by_month = short - few * by_row
    counted = published_rows()
    months, rows = len(counted), sum(counted.values())
    total = months * by_month + rows * by_row
    loading = rows * copy / many
    by_workers = "; ".join(f"{n}: {max(total / n, loading / LOADS_AT_ONCE) / 3600:.1f} h" for n in WORKERS)
    return [
        f"All {rows:,} published rows in {months} months: {by_month:.1f} s a month and {by_row * 1e6:.2f} s a million "
        f"rows make {total / 3600:.1f} h, one month after another on one machine.",
        f"On N workers of this size, one month each at a time, in hours by N: {by_workers}. This assumes a PostgreSQL "
        f"that takes {LOADS_AT_ONCE} loads at once; its share, one load after another, is {loading / 3600:.1f} h.",
    ]
