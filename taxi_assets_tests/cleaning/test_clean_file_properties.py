"""Random raw files of every layout: rows are conserved, values land in their columns, block sizes do not matter."""

import os
import tempfile
from dataclasses import asdict
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taxi_assets.cleaning import clean_file as cleaner
from taxi_assets.cleaning import duplicates, reading
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest
from taxi_assets_tests.support.raw_files import Made, lines_of, make_csv, make_parquet, make_rows, write

pytestmark = pytest.mark.long

FILES = {
    "dataset": st.sampled_from(sorted(DATASETS)),
    "month": st.sampled_from([date(2020, 4, 1), date(2019, 12, 1), date(2024, 2, 1)]),
    "count": st.integers(0, 30),
    "dirt": st.sampled_from([0.0, 0.3]),
    "seed": st.integers(0, 2**32),
}

# `make fuzz` draws more.
FACTOR = int(os.environ.get("EXAMPLES_FACTOR", "1"))
AS_WALL_CLOCK = ReadingOptions(zoned_times="as_wall_clock")
PIECES = [b"2020-04-02", b",", b",", b'"', b"\r", b"\xff", b"\0", b" ", b"1", b"B1", b"\xef\xbb\xbf", "Ж".encode()]


def cleaned(made: Made, folder: Path, ending: str, **sizes: int) -> tuple[list[dict[str, Any]], Any, Manifest]:
    """Kept rows, rejected rows in the raw file's order, and the manifest."""
    raw = write(made, folder, ending)
    with pytest.MonkeyPatch.context() as patch:
        for name, size in sizes.items():
            patch.setattr(duplicates if hasattr(duplicates, name) else reading, name, size)
        kept, rejected, manifest = cleaner.clean_file(raw, made.dataset, made.month, folder, options=AS_WALL_CLOCK)
    assert pq.read_schema(kept).equals(made.dataset.schema.arrow)
    assert Manifest.of_file(kept) == manifest
    rows = sorted(pq.read_table(rejected).to_pylist(), key=lambda row: row["row_number"])
    return pq.read_table(kept).to_pylist(), rows, manifest


def check(made: Made, ending: str) -> list[dict[str, Any]]:
    """Check what holds for every file, and return the rejected rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept, rejected, manifest = cleaned(made, folder, ending)
        files = [(folder / file).read_bytes() for file in ("kept.parquet", "rejected.parquet")]
        expected_kept, expected_rejected = made.expected
        assert kept == expected_kept
        assert [(row["row_number"], row["reason"]) for row in rejected] == expected_rejected
        assert {row["source_month"] for row in rejected} <= {made.month}
        assert manifest.raw_rows == len(made.rows) == len(kept) + len(rejected)
        assert (manifest.kept.rows, manifest.rejected_rows) == (len(kept), len(rejected))
        assert sorted(p.name for p in folder.iterdir()) == ["kept.parquet", f"raw.{ending}", "rejected.parquet"]

        cleaned(made, folder, ending)
        assert files == [(folder / file).read_bytes() for file in ("kept.parquet", "rejected.parquet")]

        sizes = {"BLOCK_BYTES": 150, "BATCH_ROWS": 3, "BUCKET_ROWS": 4, "CHUNK_ROWS": 3}
        small = cleaned(made, folder, ending, **sizes)
        assert (small[0], small[1], asdict(small[2])) == (kept, rejected, asdict(manifest))
        return rejected


@settings(max_examples=80 * FACTOR, deadline=None)
@example("yellow", date(2020, 4, 1), 30, 0.3, 483, "csv")
@given(**FILES, ending=st.sampled_from(["csv", "csv.gz"]))
def test_a_csv_of_any_layout(dataset: str, month: date, count: int, dirt: float, seed: int, ending: str) -> None:
    random = Random(seed)
    made = make_csv(make_rows(DATASETS[dataset], month, count, random), random, dirt)
    rejected = check(made, ending)
    lines = list(lines_of(made.data))[1:]
    assert len(lines) == len(made.rows)
    for row in rejected:
        assert row["original"] == lines[row["row_number"] - 1].decode("utf-8", "backslashreplace")


@settings(max_examples=60 * FACTOR, deadline=None)
@example("yellow", date(2020, 4, 1), 23, 0.3, 43924)
@example("green", date(2020, 4, 1), 18, 0.3, 11080292)
@given(**FILES)
def test_a_parquet_file_of_any_types(dataset: str, month: date, count: int, dirt: float, seed: int) -> None:
    random = Random(seed)
    check(make_parquet(make_rows(DATASETS[dataset], month, count, random), random, dirt), "parquet")


@settings(max_examples=150 * FACTOR, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(PIECES), max_size=9),
        max_size=8,
    ),
    st.sampled_from([b"\n", b"\r\n"]),
)
@example([[b'"', b","], [b"\r"], [b'"', b",", b","]], b"\n")
@example([[b'"', b'"', b",", b" ", b",", b" ", b",", b'"'], [b'"', b"B1", b","], [b","], [b"B1", b",", b" "]], b"\n")
def test_whatever_the_lines_are_each_is_counted_once(pieces: list[list[bytes]], end: bytes) -> None:
    body = end.join(b"".join(line) for line in pieces)
    data = b"Dispatching_base_num,Pickup_date,locationID\n" + body
    lines = list(lines_of(data))[1:]
    made = Made(DATASETS["fhv"], date(2020, 4, 1), [], [], [], data)
    with tempfile.TemporaryDirectory() as name:
        kept, rejected, manifest = cleaned(made, Path(name), "csv")
        assert manifest.raw_rows == len(lines) == len(kept) + len(rejected)
        for row in rejected:
            assert row["original"] == lines[row["row_number"] - 1].decode("utf-8", "backslashreplace")
        small = cleaned(made, Path(name), "csv", BLOCK_BYTES=7)
        assert (small[0], small[1]) == (kept, rejected)
