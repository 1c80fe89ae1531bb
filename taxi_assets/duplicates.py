"""Exact duplicates and shadow rows of a whole month, found in bounded memory.

While the rows stream, three 64-bit keys a kept row go to a file on disk: two hashes of all its
values, and one of what a shadow row shares with its double. Afterwards the file is gone through in
buckets of about two million rows. Two rows count as equal when both hashes are: with 128 bits, a
chance match within the largest month has a probability below 1e-23.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taxi_assets.rules import Mask, Rows

Hash = NDArray[np.uint64]

KEY = np.dtype([("a", "u8"), ("b", "u8"), ("shadow", "u8")])
BUCKET_ROWS = 1 << 21
CHUNK_ROWS = 1 << 18

_NULL = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
# Two shifts as well: a change of sign alone would otherwise leave the same trace in both hashes.
_SHIFTS = {_A: np.uint64(29), _B: np.uint64(32)}
SHADOW_SHARED = ("pickup_datetime", "dropoff_datetime", "pickup_location_id", "dropoff_location_id", "total_amount")
SHADOW_EMPTY = ("passenger_count", "rate_code", "store_and_fwd_flag")


def row_keys(batch: pa.RecordBatch, columns: list[str], shadows: bool) -> NDArray[np.void]:
    """The keys of a batch, dtype `KEY`; `columns` are those that the file has, the same for all its batches.

    The lowest bit of the shadow key says whether the meter's fields are filled; without `shadows`
    it is 0.
    """
    rows = Rows(batch)
    a, b, shadow, spare = (np.full(len(rows), _NULL) for _ in range(4))
    for name in columns:
        bits = _bits(batch, rows, name)
        _mix(a, bits, _A, spare)
        _mix(b, bits, _B, spare)
        if shadows and name in SHADOW_SHARED:
            _mix(shadow, bits, _A, spare)
    unreported = rows.nulls("dropoff_datetime")
    if unreported is not None:
        # Such a row is compared with none: a key that no other has.
        a[unreported] = np.random.default_rng().integers(0, 2**64, int(unreported.sum()), np.uint64)
    keys = np.zeros(len(rows), KEY)
    keys["a"], keys["b"] = a, b
    if shadows:
        keys["shadow"] = (shadow & ~np.uint64(1)) | ~_all_null(rows, SHADOW_EMPTY)
    return keys


def _bits(batch: pa.RecordBatch, rows: Rows, name: str) -> Hash:
    """The column's values as 64-bit words, equal when the values are."""
    column = batch.column(name)
    if pa.types.is_string(column.type):
        coded = column.dictionary_encode()
        words = [
            int.from_bytes(hashlib.blake2b(v.encode(), digest_size=8).digest()) for v in coded.dictionary.to_pylist()
        ]
        words_array = np.array([*words, 0], np.uint64)
        bits = words_array[coded.indices.fill_null(len(words)).to_numpy()]
    else:
        values = rows.values(name)
        # Adding zero makes one of the two zeros that floats have.
        bits = (values + 0.0).view(np.uint64) if values.dtype == np.float64 else values.astype(np.uint64)
    nulls = rows.nulls(name)
    return bits if nulls is None else np.where(nulls, _NULL, bits)


def _mix(mixed: Hash, bits: Hash, multiplier: np.uint64, spare: Hash) -> None:
    """Mix a column into the hashes, in place; `spare` is written over."""
    mixed ^= bits
    mixed *= multiplier
    np.right_shift(mixed, _SHIFTS[multiplier], out=spare)
    mixed ^= spare


def _all_null(rows: Rows, names: tuple[str, ...]) -> Mask:
    empty = np.ones(len(rows), np.bool_)
    for name in names:
        nulls = rows.nulls(name)
        empty &= False if nulls is None else nulls
    return empty


def find_duplicates(path: Path, rows: int) -> Mask | None:
    """Which kept rows equal an earlier one, by position; None when none do."""
    found: Mask | None = None
    for keys, positions in _repeated(path, rows, "a"):
        order = np.lexsort((positions, keys["b"], keys["a"]))
        keys, positions = keys[order], positions[order]
        again = (keys["a"][1:] == keys["a"][:-1]) & (keys["b"][1:] == keys["b"][:-1])
        if again.any():
            found = np.zeros(rows, np.bool_) if found is None else found
            found[positions[1:][again]] = True
    return found


def count_shadows(path: Path, rows: int) -> int:
    """Rows with the meter's fields empty that have a double with them filled."""
    count = 0
    for keys, _ in _repeated(path, rows, "shadow"):
        shared, filled = keys["shadow"] >> np.uint64(1), keys["shadow"] & np.uint64(1) == 1
        count += int(np.isin(shared[~filled], shared[filled]).sum())
    return count


def _repeated(path: Path, rows: int, field: str) -> Iterator[tuple[NDArray[np.void], NDArray[np.int64]]]:
    """Keys whose field (its lowest bit aside) comes more than once, with positions, in buckets."""
    buckets = rows // BUCKET_ROWS + 1
    for bucket in range(buckets):
        parts = (v if buckets == 1 else v[v % buckets == bucket] for v in _field(path, field))
        values = np.concatenate([np.zeros(0, np.uint64), *parts])
        values.sort()
        repeated = values[1:][values[1:] == values[:-1]]
        if not len(repeated):
            continue
        keys, positions = [], []
        for start, chunk in enumerate(_chunks(path)):
            values = chunk[field] >> np.uint64(1)
            # `np.isin` would sort the chunk; what it is looked for in is sorted and short.
            nearest = repeated[np.minimum(np.searchsorted(repeated, values), len(repeated) - 1)]
            at = np.flatnonzero(nearest == values)
            keys.append(chunk[at])
            positions.append(at + start * CHUNK_ROWS)
        yield np.concatenate(keys), np.concatenate(positions)


def _field(path: Path, field: str) -> Iterator[Hash]:
    return (chunk[field] >> np.uint64(1) for chunk in _chunks(path))


def _chunks(path: Path) -> Iterator[NDArray[np.void]]:
    file: BinaryIO
    with path.open("rb") as file:
        while len(chunk := np.fromfile(file, KEY, CHUNK_ROWS)):
            yield chunk
