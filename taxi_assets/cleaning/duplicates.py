"""Exact duplicates and shadow rows of a whole month, found in bounded memory.

While the rows stream, three 64-bit keys a kept row go to files on disk: two hashes of all its
values, and one of what a shadow row shares with its double. Afterwards a file is gone through in
buckets of about a million rows. Two rows count as equal when both hashes are: with 128 bits, a
chance match within the largest month has a probability below 1e-23.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taxi_assets.contract.new_york import Mask
from taxi_assets.contract.rules import Rows

Hash = NDArray[np.uint64]

# By their names: "a" and "b" of all values, "shadow" of those that a shadow row shares.
Keys = dict[str, Hash]

BUCKET_ROWS = 1 << 20
CHUNK_ROWS = 1 << 16

_ONE = np.uint64(1)
_NULL = np.uint64(0x9E3779B97F4A7C15)
_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
# Two shifts as well: a change of sign alone would otherwise leave the same trace in both hashes.
_SHIFTS = {_A: np.uint64(29), _B: np.uint64(32)}
SHADOW_SHARED = ("pickup_datetime", "dropoff_datetime", "pickup_location_id", "dropoff_location_id", "total_amount")
SHADOW_EMPTY = ("passenger_count", "rate_code", "store_and_fwd_flag")


def row_keys(batch: pa.RecordBatch, columns: list[str], shadows: bool) -> Keys:
    """Return the keys of a batch; `columns` are those that the file has, the same for all its batches.

    The lowest bit of the shadow key is set if the meter's fields are filled; without `shadows`
    there is none.
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
    if not shadows:
        return {"a": a, "b": b}
    return {"a": a, "b": b, "shadow": (shadow & ~_ONE) | ~_all_null(rows, SHADOW_EMPTY)}


def _bits(batch: pa.RecordBatch, rows: Rows, name: str) -> Hash:
    """Return the column's values as 64-bit words, equal when the values are."""
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


class KeyFiles:
    """The keys of a month's kept rows, each kind in a temporary file of its own, since a search reads one of them."""

    def __init__(self, folder: Path) -> None:
        self.rows = 0
        with ExitStack() as files:
            self._files = {name: files.enter_context(TemporaryFile(dir=folder)) for name in ("a", "b", "shadow")}
            self._open = files.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def write(self, keys: Keys) -> None:
        """Append the keys of a batch."""
        self.rows += len(keys["a"])
        for name, hashes in keys.items():
            # Not `tofile`, which raises nothing if the disk is full at the end.
            self._files[name].write(hashes.data)

    def find_duplicates(self) -> Mask | None:
        """Mark the kept rows that equal an earlier one, by position. Return None if none does."""
        found: Mask | None = None
        for repeated in self._repeated("a"):
            positions, (a, b) = self._rows_with(repeated, "a", "b")
            order = np.lexsort((positions, b, a))
            positions, a, b = positions[order], a[order], b[order]
            again = (a[1:] == a[:-1]) & (b[1:] == b[:-1])
            if again.any():
                found = np.zeros(self.rows, np.bool_) if found is None else found
                found[positions[1:][again]] = True
        return found

    def count_shadows(self) -> int:
        """Count rows with the meter's fields empty that have a double with them filled."""
        count = 0
        for repeated in self._repeated("shadow"):
            _, (keys,) = self._rows_with(repeated, "shadow")
            shared, filled = keys >> _ONE, keys & _ONE == 1
            count += int(np.isin(shared[~filled], shared[filled]).sum())
        return count

    def _repeated(self, name: str) -> Iterator[Hash]:
        """Yield the keys that occur more than once, ignoring their lowest bit; sorted, in buckets."""
        buckets = self.rows // BUCKET_ROWS + 1
        width = (1 << 63) // buckets + 1
        for low in range(0, 1 << 63, width):
            repeated = self._repeated_between(name, low, low + width)
            if len(repeated):
                yield repeated

    def _repeated_between(self, name: str, low: int, high: int) -> Hash:
        values = (chunk >> _ONE for chunk in self._chunks(name))
        bucket = np.concatenate([np.zeros(0, np.uint64), *(v[(v >= low) & (v < high)] for v in values)])
        bucket.sort()
        repeated: Hash = bucket[1:][bucket[1:] == bucket[:-1]]
        return repeated

    def _rows_with(self, repeated: Hash, *names: str) -> tuple[NDArray[np.int64], list[Hash]]:
        """Return positions and keys of the rows whose first named key is among those."""
        positions, keys = [], []
        for start, chunks in enumerate(zip(*map(self._chunks, names), strict=True)):
            values = chunks[0] >> _ONE
            # `np.isin` would sort the chunk; what it is looked for in is sorted and short.
            nearest = repeated[np.minimum(np.searchsorted(repeated, values), len(repeated) - 1)]
            at = np.flatnonzero(nearest == values)
            positions.append(at + start * CHUNK_ROWS)
            keys.append([chunk[at] for chunk in chunks])
        return np.concatenate(positions), [np.concatenate(each) for each in zip(*keys, strict=True)]

    def _chunks(self, name: str) -> Iterator[Hash]:
        file = self._files[name]
        file.seek(0)
        while len(chunk := np.fromfile(file, np.uint64, CHUNK_ROWS)):
            yield chunk
