"""One block through the rules."""

import gc
from datetime import date, datetime
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pyarrow as pa
import pytest

from taxi_assets.cleaning.clean_block import CleanBlock, clean_block, rejected_batch
from taxi_assets.cleaning.reading import Block, open_raw
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.schemas import REJECTED_SCHEMA
from taxi_assets.sample.files import write_sample

GREEN = DATASETS["green"]
APRIL = date(2020, 4, 1)
NINE, TEN = datetime(2020, 4, 1, 9), datetime(2020, 4, 1, 10)
GOOD: dict[str, Any] = {"pickup_datetime": NINE, "dropoff_datetime": TEN, "passenger_count": 1, "trip_distance": 2.0}


def block_of(*rows: dict[str, Any], torn: tuple[int, ...] = (), unreadable: tuple[int, ...] = ()) -> Block:
    """Return a block whose torn lines stand at those positions between the rows."""
    schema = pa.schema([(c.name, c.type) for c in GREEN.schema.published])
    batch = pa.RecordBatch.from_pylist([GOOD | row for row in rows], schema)
    count = len(rows) + len(torn)
    numbers = np.array([n for n in range(count) if n not in torn], np.int64)
    bad = np.isin(np.arange(len(rows)), unreadable) if unreadable else None
    lines = [(n, f"torn {n}") for n in torn]
    return Block(count, batch, numbers, bad, lines, lambda at: [f"line {numbers[i]}" for i in at])


def cleaned(block: Block, *off: str) -> CleanBlock:
    columns = [*GOOD, "pickup_location_id", "dropoff_location_id", "total_amount"]
    return clean_block(block, GREEN, APRIL, columns, frozenset(off))


def test_the_first_rule_that_a_row_breaks_is_its_reason() -> None:
    late = {"pickup_datetime": datetime(2021, 1, 1), "passenger_count": 0, "pickup_location_id": 999}
    rows = [{}, late, late | {"pickup_datetime": None}, {"passenger_count": 0, "pickup_location_id": 999}, late]
    clean = cleaned(block_of(*rows, unreadable=(4,)))
    assert clean.reasons == ["pickup_outside_month", "missing_times", "no_passengers", "unreadable_row"]
    assert clean.numbers.tolist() == [1, 2, 3, 4]
    assert clean.kept.num_rows == 1


def test_a_rule_that_is_off_leaves_the_row_to_the_next() -> None:
    late = {"pickup_datetime": datetime(2021, 1, 1)}
    assert cleaned(block_of(late), "pickup_outside_month").reasons == ["dropoff_before_pickup"]
    assert cleaned(block_of(late), "pickup_outside_month", "dropoff_before_pickup").kept.num_rows == 1


def test_torn_lines_and_rejected_rows_are_in_the_files_order() -> None:
    clean = cleaned(block_of({}, {"passenger_count": 0}, {}, {"passenger_count": 0}, torn=(0, 3, 5)))
    assert clean.count == 7
    assert clean.numbers.tolist() == [0, 2, 3, 5, 6]
    assert clean.originals == ["torn 0", "line 2", "torn 3", "torn 5", "line 6"]
    assert clean.reasons == ["unreadable_row", "no_passengers", "unreadable_row", "unreadable_row", "no_passengers"]


def test_kept_rows_have_the_contracts_schema_and_the_files_month() -> None:
    clean = cleaned(block_of({}, {"fare_amount": -5.0}))
    assert clean.kept.schema.equals(GREEN.schema.arrow, check_metadata=True)
    assert clean.kept.column("source_month").to_pylist() == [APRIL, APRIL]
    assert clean.totals.rows == 2
    assert clean.totals.cents["fare_amount"] == -500
    assert len(clean.keys["a"]) == 2


def test_a_block_of_which_nothing_stays() -> None:
    clean = cleaned(block_of({"passenger_count": 0}, torn=(0,)))
    assert (clean.kept.num_rows, clean.totals.rows, len(clean.keys["a"])) == (0, 0, 0)
    assert clean.kept.schema.equals(GREEN.schema.arrow)
    empty = cleaned(block_of())
    assert (empty.count, empty.reasons, empty.originals) == (0, [], [])


def test_doubtful_rows_are_counted_and_stay() -> None:
    clean = cleaned(block_of({"trip_distance": 500.0}, {}))
    assert clean.flagged == {
        "implausible_distance": 1,
        "implausible_speed": 1,
        "clock_resets": 0,
        "shadow_duplicates": 0,
        "end_of_daylight_saving": 0,
        "minute_is_the_month": 0,
    }
    assert clean.kept.num_rows == 2


def test_rejected_rows_as_a_batch() -> None:
    batch = rejected_batch(APRIL, np.array([3, 4]), ["a", "b"], ["x", "y"])
    assert batch.schema.equals(REJECTED_SCHEMA)
    assert batch.to_pylist()[1] == {
        "source_month": APRIL,
        "row_number": 4,
        "reason": "b",
        "original": "y",
        "cause": None,
    }


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_block_goes_with_its_last_reference(tmp_path: Path, file_format: str) -> None:
    """What waits for the garbage collector instead is megabytes a block, and the collector seldom comes."""
    raw = write_sample("green", APRIL, tmp_path, rows=2000, file_format=file_format)
    reader = open_raw(raw, GREEN)
    columns = [column.name for column in GREEN.schema.published]
    made: list[ref[Any]] = []
    gc.disable()
    try:
        for read in reader.blocks():
            block = read()
            clean = clean_block(block, GREEN, APRIL, columns)
            made += [ref(block.rows), ref(clean.kept)]
        del read, block, clean
        assert made
        assert [batch for batch in made if batch() is not None] == []
    finally:
        gc.enable()
