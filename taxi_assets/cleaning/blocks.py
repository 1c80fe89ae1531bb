"""A part of a raw file as canonical rows, and how published columns become canonical ones."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taxi_assets.cleaning.convert import convert
from taxi_assets.cleaning.faults import BadValue, Contradiction, Fault, Faults
from taxi_assets.cleaning.layout import Layout
from taxi_assets.cleaning.times import zones_of
from taxi_assets.contract.new_york import Mask
from taxi_assets.contract.schemas import TIME, Column, Schema


def _no_fault(_line: str) -> None:
    return None


@dataclass(frozen=True)
class Block:
    """A part of a file.

    `count` is the number of data rows that the part has, counted apart from the parser. `rows` are
    those with the right number of fields, canonical but for `source_month`; `numbers` gives the
    position of each in the part, from 0. `unreadable` marks rows with a value that could not be
    read. `torn` are the other lines: position and text. `original` gives rows as published, by
    their index in `rows`; `faults` gives why they are unreadable, `torn_fault` why another
    line is torn. `zones` are the time zones that the text of times names.
    """

    count: int
    rows: pa.RecordBatch
    numbers: NDArray[np.int64]
    unreadable: Mask | None
    torn: list[tuple[int, str]]
    original: Callable[[NDArray[np.int64]], list[str]]
    faults: Callable[[NDArray[np.int64]], list[Fault | None]] = lambda rows: [None] * len(rows)
    torn_fault: Callable[[str], Fault | None] = _no_fault
    zones: frozenset[str] = frozenset()


def canonical(
    published: Callable[[int], pa.Array], count: int, layout: Layout, schema: Schema
) -> tuple[pa.RecordBatch, Faults]:
    """Return the canonical rows of a batch whose published columns are given by position, and the unreadable ones."""
    faults = Faults(count)
    arrays = [_convert_first(published, layout, column, count, faults) for column in schema.published]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([(c.name, c.type) for c in schema.published])), faults


def _convert_first(
    published: Callable[[int], pa.Array], layout: Layout, column: Column, rows: int, faults: Faults
) -> pa.Array:
    """Return the first source that has a value, by row; sources that contradict each other make the row unreadable."""
    sources = layout.sources(column)
    if not sources:
        return pa.nulls(rows, column.type)
    first = sources[0]
    array = _convert(published(first), first, layout, faults)
    for source in sources[1:]:
        other = _convert(published(source), source, layout, faults)
        differs = pc.not_equal(array, other).fill_null(False).to_numpy(zero_copy_only=False)
        if differs.any():
            names = layout.header[first], layout.header[source]
            faults.add(differs, Contradiction(names, (published(first), published(source))))
        array = pc.coalesce(array, other)
    return array


def _convert(published: pa.Array, position: int, layout: Layout, faults: Faults) -> pa.Array:
    column = layout.columns[position]
    assert column is not None, "only mapped columns are sources"
    array, bad = convert(published, column, layout.forms)
    if bad is not None:
        faults.add(bad, BadValue(layout.header[position], column, published, layout.forms))
    return array


def zones_in(published: Callable[[int], pa.Array], layout: Layout) -> frozenset[str]:
    """Return the zones that times of a batch are marked with in their text."""
    if not layout.forms.zoned:
        return frozenset()
    times = [i for i, column in enumerate(layout.columns) if column is not None and column.type == TIME]
    texts = [array for array in map(published, times) if pa.types.is_string(array.type)]
    return frozenset(zone for text in texts for zone in zones_of(text))
