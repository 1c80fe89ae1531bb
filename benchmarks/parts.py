"""What bounds the cleaning of a month: its parts one after another in one thread, beside all of them at once."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from benchmarks.measure import race
from benchmarks.section import Section
from benchmarks.workbench import MONTH_ROWS, Workbench
from taxi_assets.cleaning.clean_block import clean_block
from taxi_assets.cleaning.clean_file import THREADS, GroupWriter
from taxi_assets.cleaning.reading import Block, open_raw
from taxi_assets.contract.datasets import dataset
from taxi_assets.months import parse_month

FORMATS = ("csv.gz", "parquet")
PARTS = ("unpack", "parse", "apply the rules, hash and sum up", "encode, compress and write")


def parts(bench: Workbench, runs: int, say: Callable[[str], None]) -> Section:
    """Seconds of each part, from CSV and from Parquet."""
    found, at_once = [], []
    for file_format in FORMATS:
        say(f"The parts of cleaning {file_format} ...")
        source = bench.sample(MONTH_ROWS, file_format)
        each = [_seconds(source, bench.folder) for _ in range(runs)]
        found.append([sorted(column)[runs // 2] for column in zip(*each, strict=True)])
        at_once.append(race(("clean",), source, bench.folder, runs)["clean"].seconds)
    sums = [sum(column) for column in found]
    rows: list[Sequence[str]] = [("part, in one thread", *(f"{name}, s" for name in FORMATS))]
    rows += [(part, *_cells(values)) for part, values in zip(PARTS, zip(*found, strict=True), strict=True)]
    rows += [("all of them", *_cells(sums)), ("all at once, as the pipeline does", *_cells(at_once))]
    note = (
        f"{THREADS} cores can end no sooner than in half of the sum: "
        + " and ".join(f"{total / THREADS:.2f} s from {name}" for total, name in zip(sums, FORMATS, strict=True))
        + ". What is at once has the search for duplicates besides."
    )
    return Section("What bounds cleaning", rows, [note])


def _cells(values: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in values]


def _seconds(source: Path, folder: Path) -> tuple[float, ...]:
    yellow, month = dataset("yellow"), parse_month("2021-01")
    reader = open_raw(source, yellow)
    present = {column.name for column in reader.layout.columns if column is not None}
    columns = [name for name in yellow.schema.names if name in present]
    pa.array([0])  # as in `stages.clean`
    marks = [time.perf_counter()]
    read: list[Callable[[], Block]] = list(reader.blocks())
    marks.append(time.perf_counter())
    blocks = [parse() for parse in read]
    marks.append(time.perf_counter())
    kept = [clean_block(block, yellow, month, columns).kept for block in blocks]
    marks.append(time.perf_counter())
    with GroupWriter(folder / "parts.parquet", yellow.schema.arrow) as writer:
        for batch in kept:
            writer.write(batch)
    marks.append(time.perf_counter())
    return tuple(later - earlier for earlier, later in pairwise(marks))
