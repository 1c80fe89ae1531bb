"""Duplicates and shadow rows against brute force."""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxi_assets.cleaning import duplicates
from taxi_assets.cleaning.duplicates import SHADOW_EMPTY, SHADOW_SHARED, KeyFiles, row_keys
from taxi_assets.contract.schemas import GREEN

SCHEMA = pa.schema([(c.name, c.type) for c in GREEN.columns])
COLUMNS = [*SHADOW_SHARED, *SHADOW_EMPTY]
NINE = datetime(2020, 4, 1, 9)

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "pickup_datetime": st.sampled_from([NINE, NINE + timedelta(microseconds=1), None]),
            "dropoff_datetime": st.sampled_from([NINE, NINE, None]),
            "pickup_location_id": st.sampled_from([1, -1, 0, None]),
            "dropoff_location_id": st.just(7),
            "total_amount": st.sampled_from([0.0, -0.0, 1.5, -1.5, None]),
            "passenger_count": st.sampled_from([None, None, 1]),
            "rate_code": st.none(),
            "store_and_fwd_flag": st.sampled_from([None, None, "N", "Y"]),
        }
    ),
    max_size=40,
)


@contextmanager
def key_files(rows: list[dict[str, Any]], batch_rows: int = 2, columns: list[str] = COLUMNS) -> Iterator[KeyFiles]:
    """Keys of the rows, which have a dropoff time unless they say otherwise."""
    rows = [{"dropoff_datetime": NINE} | row for row in rows]
    with tempfile.TemporaryDirectory() as folder, KeyFiles(Path(folder)) as keys:
        for start in range(0, len(rows), batch_rows):
            batch = pa.RecordBatch.from_pylist(rows[start : start + batch_rows], SCHEMA)
            keys.write(row_keys(batch, columns, shadows=True))
        yield keys


def duplicates_of(rows: list[dict[str, Any]], columns: list[str] = COLUMNS) -> list[bool] | None:
    with key_files(rows, columns=columns) as keys:
        found = keys.find_duplicates()
    return None if found is None else found.tolist()


def brute_force(rows: list[dict[str, Any]], columns: list[str]) -> list[bool]:
    seen = set()
    again = []
    for row in rows:
        values = tuple(row.get(name) for name in columns)
        again.append(values in seen and row.get("dropoff_datetime") is not None)
        seen.add(values)
    return again


@settings(max_examples=150, deadline=None)
@given(ROWS, st.integers(1, 9), st.integers(1, 9), st.integers(1, 40))
def test_as_brute_force_says(rows: list[dict[str, Any]], bucket: int, chunk: int, batch: int) -> None:
    with pytest.MonkeyPatch.context() as patch, key_files(rows, batch) as keys:
        patch.setattr(duplicates, "BUCKET_ROWS", bucket)
        patch.setattr(duplicates, "CHUNK_ROWS", chunk)
        found = keys.find_duplicates()
        expected = brute_force(rows, COLUMNS)
        assert ([False] * len(rows) if found is None else found.tolist()) == expected
        assert (found is None) == (not any(expected))

        def shared(row: dict[str, Any]) -> tuple[Any, ...]:
            return tuple(row[name] for name in SHADOW_SHARED)

        filled = {shared(row) for row in rows if any(row[name] is not None for name in SHADOW_EMPTY)}
        empty = [row for row in rows if all(row[name] is None for name in SHADOW_EMPTY)]
        assert keys.count_shadows() == sum(shared(row) in filled for row in empty)


def test_only_the_files_own_columns_count() -> None:
    rows = [{"pickup_datetime": NINE, "extra": 1.0}, {"pickup_datetime": NINE, "extra": 2.0}]
    assert duplicates_of(rows, [*COLUMNS, "extra"]) is None
    assert duplicates_of(rows) == [False, True]


def test_null_zero_and_no_text_differ() -> None:
    for name, values in (("extra", [None, 0.0]), ("rate_code", [None, 0]), ("store_and_fwd_flag", [None, ""])):
        rows = [{"pickup_datetime": NINE, name: value} for value in values]
        assert duplicates_of(rows, [*COLUMNS, "extra"]) is None


def test_columns_are_not_interchangeable() -> None:
    rows = [{"pickup_location_id": 1, "dropoff_location_id": 2}, {"pickup_location_id": 2, "dropoff_location_id": 1}]
    assert duplicates_of(rows) is None


def test_changes_of_sign_leave_different_traces_in_the_two_hashes() -> None:
    """The bit of the sign passes through a multiplication as it is, so that a second one could undo it in both."""
    for shift in range(1, 63):
        flipped = struct.unpack("<d", struct.pack("<Q", 0x3FE0000000000000 ^ 1 << 63 ^ 1 << (63 - shift)))[0]
        rows = [{"fare_amount": 1.0, "extra": 0.5}, {"fare_amount": -1.0, "extra": flipped}]
        assert duplicates_of(rows, [*COLUMNS, "fare_amount", "extra"]) is None


def test_keys_do_not_depend_on_the_batch() -> None:
    rows = [{"dropoff_datetime": NINE, "store_and_fwd_flag": flag} for flag in "NYNNY"]
    batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
    whole = row_keys(batch, COLUMNS, shadows=True)
    parts = [row_keys(batch.slice(at, 1), COLUMNS, shadows=True) for at in range(5)]
    for name, hashes in whole.items():
        assert (hashes == np.concatenate([part[name] for part in parts])).all()
        assert len(np.unique(hashes)) == (1 if name == "shadow" else 2)


def test_without_shadows_they_have_no_key() -> None:
    batch = pa.RecordBatch.from_pylist([{"pickup_datetime": NINE}], SCHEMA)
    assert sorted(row_keys(batch, ["pickup_datetime"], shadows=False)) == ["a", "b"]


def test_no_rows_at_all() -> None:
    with key_files([]) as keys:
        assert keys.find_duplicates() is None
        assert keys.count_shadows() == 0


def test_nothing_is_left_in_the_folder(tmp_path: Path) -> None:
    with KeyFiles(tmp_path) as keys:
        keys.write(row_keys(pa.RecordBatch.from_pylist([{"pickup_datetime": NINE}], SCHEMA), COLUMNS, shadows=True))
    assert not list(tmp_path.iterdir())
