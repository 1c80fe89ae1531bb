"""Batches of a Parquet file as blocks, and which types of its columns values are read from."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import types

from taxi_assets.cleaning.blocks import Block, canonical, zones_in
from taxi_assets.cleaning.convert import is_binary
from taxi_assets.cleaning.faults import texts_of
from taxi_assets.cleaning.layout import Layout, map_columns
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.cleaning.sniffing import Published, not_times, sniff
from taxi_assets.cleaning.times import zone_name
from taxi_assets.cleaning.wording import quoted
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.schemas import INTEGER, NUMBER, TEXT, TIME, Column
from taxi_assets.errors import BadFileError, ContractError

# So many rows show the forms of times and numbers that a file has as text.
FIRST_ROWS = 1000
_KINDS = {TIME: "times", INTEGER: "whole numbers", NUMBER: "numbers", TEXT: "text"}


def parquet_file(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        BadFileError: It is none, or its footer cannot be read.
    """
    try:
        # Read column by column through small buffers: TLC writes a month as one row group.
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, coerce_int96_timestamp_unit="us")
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise BadFileError(
            f"{path.name} is not a readable Parquet file ({_first_line(error)}); fetch it again."
        ) from error


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Convert what Arrow raises for a damaged file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise BadFileError(f"{path.name} is damaged ({_first_line(error)}); fetch it again.") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def parquet_layout(file: pq.ParquetFile, path: Path, dataset: Dataset, options: ReadingOptions) -> Layout:
    """Return the layout of a Parquet file.

    Raises:
        ContractError: See `map_columns` and `sniff`; or a column is of a type from which its values are not read.
    """
    schema = file.schema_arrow
    header = tuple(schema.names)
    columns = map_columns(dataset, header, options.unknown_columns)
    for field, column in zip(schema, columns, strict=True):
        if column is not None:
            _check_type(field.name, field.type, column)
    published = [
        Published(field.name, column, _first_texts(file, path, i) if column and _is_text(field.type) else ())
        for i, (field, column) in enumerate(zip(schema, columns, strict=True))
    ]
    found = sniff(published, converts_utc=options.zoned_times == "convert", commas_are_free=True)
    zones = {zone_name(f.type.tz) for f, c in zip(schema, columns, strict=True) if c and _is_zoned(f.type)}
    return Layout(
        "parquet",
        header,
        found.columns,
        len(header),
        forms=found.forms,
        zones=found.zones | zones,
        undecided=found.undecided,
    )


def _is_zoned(type_: pa.DataType) -> bool:
    return types.is_timestamp(type_) and type_.tz is not None


def _plain(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if types.is_dictionary(type_) else type_


def _is_text(type_: pa.DataType) -> bool:
    plain = _plain(type_)
    is_string = types.is_string(plain) or types.is_large_string(plain) or types.is_string_view(plain)
    return is_string or is_binary(plain)


def _first_texts(file: pq.ParquetFile, path: Path, position: int) -> list[str]:
    name = file.schema_arrow.names[position]
    with reading_errors(path):
        batch = next(file.iter_batches(FIRST_ROWS, columns=[name], use_threads=False), None)
    return [] if batch is None else list(texts_of(batch.column(0), np.arange(batch.num_rows)))


def _check_type(name: str, published: pa.DataType, column: Column) -> None:
    type_ = _plain(published)
    if types.is_null(type_) or _is_text(type_):
        return
    is_number = types.is_integer(type_) or types.is_floating(type_) or types.is_decimal(type_)
    if column.type == TIME and is_number:
        raise not_times(name, f"numbers ({type_}), such as seconds since 1970,")
    if column.type == TIME and types.is_time(type_):
        raise not_times(name, f"times of day without a date ({type_})")
    if column.type == TIME:
        is_right = types.is_timestamp(type_) or types.is_date(type_)
    else:
        is_right = is_number or (types.is_boolean(type_) and bool(column.codes))
    if not is_right:
        raise ContractError(
            f"The column {quoted(name)} holds values of the type {_type_name(type_)}, where {_KINDS[column.type]} are "
            "expected; write the file again with one plain value a row in it."
        )


def _type_name(type_: pa.DataType) -> str:
    """Return the name of a type without its fields, which may be many."""
    return str(type_).partition("<")[0] if types.is_nested(type_) else str(type_)


def times_as_text(file: pq.ParquetFile, path: Path, layout: Layout) -> Iterator[bytes]:
    """Return all times that the file has as text, in parts, as a CSV has them."""
    pairs = zip(file.schema_arrow, layout.columns, strict=True)
    names = [f.name for f, column in pairs if column and column.type == TIME and _is_text(f.type)]
    with reading_errors(path):
        for batch in file.iter_batches(columns=names, use_threads=False):
            for array in batch.columns:
                yield "\n".join(texts_of(array, np.arange(len(array)))).encode()


def parquet_block(batch: pa.RecordBatch, layout: Layout, dataset: Dataset) -> Block:
    """Return a batch as a block."""
    rows, faults = canonical(batch.column, batch.num_rows, layout, dataset.schema)

    def original(indices: NDArray[np.int64]) -> list[str]:
        at = pa.array(indices)
        # Arrow cannot take from a string view.
        columns = [(c.cast(TEXT) if types.is_string_view(c.type) else c).take(at) for c in batch.columns]
        # Times as text, since Python has no year 10000 and the like.
        columns = [c.cast(TEXT) if types.is_timestamp(c.type) else c for c in columns]
        values = zip(*map(_values, columns), strict=True)
        # One encoder for all rows: `json.dumps` would make one for each.
        encode = json.JSONEncoder(default=_as_json).encode
        return [encode(dict(zip(batch.schema.names, row, strict=True))) for row in values]

    return Block(
        batch.num_rows,
        rows,
        np.arange(batch.num_rows),
        faults.mask,
        [],
        original,
        faults.of,
        zones=zones_in(batch.column, layout),
    )


def _as_json(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _values(column: pa.Array) -> list[Any]:
    """Return the column as Python values, through NumPy where possible: Arrow makes an object of each value."""
    numeric = types.is_integer(column.type) or types.is_floating(column.type)
    values: list[Any] = column.to_numpy().tolist() if numeric and not column.null_count else column.to_pylist()
    if types.is_floating(column.type):
        # JSON has no NaN.
        return [None if value is None or math.isnan(value) else value for value in values]
    return values
