"""Raw files as a stream of blocks of canonical rows, in bounded memory and in the file's order.

CSV is cut into blocks of whole lines while it is unpacked; each block is parsed by itself, with
typed columns where all of its values allow it and value by value where one does not, so that one
bad value costs its row and not the file. No published file has a line break inside a field.
"""

import codecs
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
from isal import igzip, isal_zlib
from numpy.typing import NDArray

from taxi_assets.cleaning.convert import convert
from taxi_assets.cleaning.layout import Layout, csv_header, csv_layout, map_columns, split_line
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.rules import Mask
from taxi_assets.contract.schemas import INTEGER, TEXT, Column, Schema
from taxi_assets.errors import BadFileError

# With a third less, cleaning takes 5 % longer; with a third more, it is no faster and needs more memory.
BLOCK_BYTES = 3 << 20
# About as many as a block of CSV holds.
BATCH_ROWS = 1 << 15
MAX_LINE_BYTES = 8 << 20
HEAD_BYTES = 1 << 16
CODE_TEXT = pa.dictionary(pa.int32(), TEXT)


@dataclass(frozen=True)
class Block:
    """A part of a file.

    `count` is the number of data rows that the part has, counted apart from the parser. `rows` are
    those with the right number of fields, canonical but for `source_month`; `numbers` gives the
    position of each in the part, from 0. `unreadable` marks rows with a value that could not be
    read. `torn` are the other lines: position and text. `original` gives rows as published, by
    their index in `rows`.
    """

    count: int
    rows: pa.RecordBatch
    numbers: NDArray[np.int64]
    unreadable: Mask | None
    torn: list[tuple[int, str]]
    original: Callable[[NDArray[np.int64]], list[str]]


@dataclass(frozen=True)
class RawReader:
    """An opened raw file: its layout, and its blocks as calls that may run in any thread."""

    layout: Layout
    blocks: Callable[[], Iterator[Callable[[], Block]]]


def open_raw(path: Path, dataset: Dataset) -> RawReader:
    """Open a raw file. The end of its name determines its format.

    Raises:
        BadFileError: The file is not what its name claims.
        ContractError: Its columns are not those of the dataset.
    """
    if path.name.endswith(".parquet"):
        return _open_parquet(path, dataset)
    layout = csv_layout(dataset, "csv.gz" if path.name.endswith(".gz") else "csv", _head(path))
    parser = _CsvParser(dataset, layout)

    def blocks() -> Iterator[Callable[[], Block]]:
        for part in _line_blocks(path):
            yield partial(parser.parse, part)

    return RawReader(layout, blocks)


def header_of(path: Path) -> tuple[str, ...]:
    """Return the names of a raw file's columns as published, whatever its dataset.

    Raises:
        BadFileError: The file is not what its name claims.
    """
    if path.name.endswith(".parquet"):
        return tuple(_parquet_file(path).schema_arrow.names)
    return csv_header(_head(path))


def _head(path: Path) -> bytes:
    with _open_text(path) as file:
        return _read(file, HEAD_BYTES, path)


def _open_text(path: Path) -> BinaryIO:
    return igzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore


def _read(file: BinaryIO, size: int, path: Path) -> bytes:
    try:
        return file.read(size)
    except (EOFError, OSError, isal_zlib.error) as error:  # type: ignore[misc]
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadFileError(f"{path.name} is a broken gzip file ({error}); fetch it again.") from error


def _line_blocks(path: Path) -> Iterator[bytes]:
    """Return the file after its header, in parts of whole lines."""
    with _open_text(path) as file:
        rest = b""
        header_seen = False
        while chunk := _read(file, BLOCK_BYTES, path):
            chunk = rest + chunk
            end = chunk.rfind(b"\n") + 1
            rest, chunk = chunk[end:], chunk[:end]
            if len(rest) > MAX_LINE_BYTES:
                raise BadFileError(
                    f"{path.name} has no line end within {MAX_LINE_BYTES:,} bytes; it is no CSV of trips."
                )
            if not header_seen and chunk.strip():
                chunk = chunk.lstrip()
                chunk = chunk[chunk.index(b"\n") + 1 :]
                header_seen = True
            if chunk:
                yield chunk
        if not header_seen and b"\r" in rest.strip():
            raise BadFileError(f"{path.name} ends its lines with carriage returns alone; write it with \\n or \\r\\n.")
        if rest.strip(b"\r\n") and header_seen:
            yield rest


class _CsvParser:
    """Parses blocks of one CSV; safe to call from several threads."""

    def __init__(self, dataset: Dataset, layout: Layout) -> None:
        self.layout = layout
        self.schema = dataset.schema
        self.names = [f"f{i}" for i in range(layout.fields)]
        self.used = [i for i, column in enumerate(layout.columns) if column is not None]
        # Fields beyond the header must be empty, or the row is not what it seems.
        self.extra = list(range(len(layout.header), layout.fields))
        typed = {self.names[i]: _typed(layout.columns[i]) for i in self.used}
        coded = {self.names[i]: _coded(layout.columns[i]) for i in self.used}
        empty = {self.names[i]: pa.null() for i in self.extra}
        text = dict.fromkeys(self.names, TEXT)
        self.attempts = [typed | empty, coded | empty, text]
        # Blocks of one file are alike: begin with what the last one needed.
        self.first_attempt = 0

    def parse(self, part: bytes) -> Block:
        """Parse the part into a block. Each line becomes a row or a torn line, whatever its text is."""
        lines = _Lines(part)
        if lines.has_lone_returns or lines.has_open_quotes or not _is_text(part):
            return self._parse_by_line(lines)
        # Arrow reads 0x1F as an integer; nobody else does.
        hexadecimal = any(x in part and b"0" + x in part for x in (b"x", b"X"))  # one byte is sought much faster
        for attempt in range(max(self.first_attempt, hexadecimal), len(self.attempts)):
            torn: list[str] = []
            try:
                table = self._read(part, self.attempts[attempt], torn)
            except pa.ArrowInvalid:
                continue
            if table.num_rows + len(torn) != len(lines):
                break
            if attempt < len(self.attempts) - 1:
                self.first_attempt = attempt
            return self._block(lines, table, *_place(lines, torn))
        return self._parse_by_line(lines)

    def _parse_by_line(self, lines: "_Lines") -> Block:
        """Parse text that is no UTF-8, or whose quotes or carriage returns blur where lines end."""
        rows, numbers, torn = [], [], []
        for number, line in enumerate(lines):
            fields = split_line(line.decode("utf-8", "replace"))
            if len(fields) == self.layout.fields:
                rows.append(fields)
                numbers.append(number)
            else:
                torn.append((number, _shown(line)))
        columns = [pa.array([row[i] or None for row in rows], TEXT) for i in range(self.layout.fields)]
        return self._block(lines, pa.table(columns, names=self.names), np.array(numbers, np.int64), torn)

    def _read(self, part: bytes, types: dict[str, pa.DataType], torn: list[str]) -> pa.Table:
        def skip(row: pc_csv.InvalidRow) -> str:
            torn.append(row.text)
            return "skip"

        return pc_csv.read_csv(
            pa.BufferReader(part),
            read_options=pc_csv.ReadOptions(use_threads=False, column_names=self.names, block_size=len(part) + 1),
            parse_options=pc_csv.ParseOptions(invalid_row_handler=skip),
            convert_options=pc_csv.ConvertOptions(
                column_types=types,
                include_columns=[self.names[i] for i in (*self.used, *self.extra)],
                null_values=[""],
                strings_can_be_null=True,
            ),
        )

    def _block(
        self, lines: "_Lines", table: pa.Table, numbers: NDArray[np.int64], torn: list[tuple[int, str]]
    ) -> Block:
        batch = table.combine_chunks().to_batches()[0] if table.num_rows else _no_rows(table)
        rows, bad = _canonical(lambda i: batch.column(self.names[i]), batch.num_rows, self.layout, self.schema)
        for i in self.extra:
            bad = _either(bad, _filled(batch.column(self.names[i])))

        def original(indices: NDArray[np.int64]) -> list[str]:
            return [_shown(lines[i]) for i in numbers[indices]]

        return Block(len(lines), rows, numbers, bad, torn, original)


def _typed(column: Column | None) -> pa.DataType:
    assert column is not None
    return CODE_TEXT if column.type == TEXT else column.type


def _coded(column: Column | None) -> pa.DataType:
    assert column is not None
    return CODE_TEXT if column.codes or column.type in (TEXT, INTEGER) else column.type


def _no_rows(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in table.schema], schema=table.schema)


def _either(a: Mask | None, b: Mask | None) -> Mask | None:
    return b if a is None else a if b is None else a | b


def _filled(array: pa.Array) -> Mask | None:
    return None if array.null_count == len(array) else array.is_valid().to_numpy(zero_copy_only=False)


def _canonical(
    published: Callable[[int], pa.Array], count: int, layout: Layout, schema: Schema
) -> tuple[pa.RecordBatch, Mask | None]:
    """Return the canonical rows of a batch whose published columns are given by position, and the unreadable ones."""
    bad: Mask | None = None
    arrays = []
    for column in schema.published:
        array, failed = _convert_first([published(i) for i in layout.sources(column)], column, count)
        arrays.append(array)
        bad = _either(bad, failed)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema([(c.name, c.type) for c in schema.published])), bad


def _convert_first(sources: list[pa.Array], column: Column, rows: int) -> tuple[pa.Array, Mask | None]:
    """Return the first source that has a value, by row; sources that contradict each other make the row unreadable."""
    if not sources:
        return pa.nulls(rows, column.type), None
    array, bad = convert(sources[0], column)
    for source in sources[1:]:
        other, other_bad = convert(source, column)
        differs = pc.not_equal(array, other).fill_null(False)
        bad = _either(_either(bad, other_bad), differs.to_numpy(zero_copy_only=False))
        array = pc.coalesce(array, other)
    return array, bad


class _Lines:
    """The lines of a part of a CSV that are not blank, found once; carriage returns at their ends do not count."""

    def __init__(self, part: bytes) -> None:
        self._part = part
        text = np.frombuffer(part, np.uint8)
        ends = np.flatnonzero(text == ord("\n"))
        if not part.endswith(b"\n"):
            ends = np.append(ends, len(part))
        starts = np.concatenate(([0], ends[:-1] + 1))
        # Not `part.count`, which is as slow for a byte as for a word.
        returns = np.count_nonzero(text == ord("\r")) if b"\r" in part else 0
        returned = (ends > starts) & (text[ends - 1] == ord("\r")) if returns else np.zeros(len(ends), np.bool_)
        # Others would end a line for Arrow, and do not here.
        self.has_lone_returns = returns != np.count_nonzero(returned)
        # Before another line Arrow would read on for the closing quote; at the end of a block it would not.
        quotes = np.flatnonzero(text == ord('"')) if b'"' in part else np.empty(0, np.int64)
        self.has_open_quotes = bool((np.bincount(np.searchsorted(ends, quotes)) % 2).any())
        ends = ends - returned
        filled = ends > starts
        if self.has_lone_returns:
            filled &= [bool(part[s:e].strip(b"\r")) for s, e in zip(starts, ends, strict=True)]
        self._starts, self._ends = starts[filled], ends[filled]

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, number: int) -> bytes:
        return self._part[self._starts[number] : self._ends[number]].rstrip(b"\r")

    def __iter__(self) -> Iterator[bytes]:
        return (self[number] for number in range(len(self)))


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")


def _is_text(part: bytes) -> bool:
    """Return whether Arrow reads all of the part as it is."""
    if part.isascii():
        return True
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    # It would swallow a byte order mark.
    return not part.startswith(codecs.BOM_UTF8)


def _place(lines: _Lines, torn_texts: list[str]) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """Return which lines became rows, and where the torn ones stand; both are in the file's order."""
    if not torn_texts:
        return np.arange(len(lines)), []
    torn: list[tuple[int, str]] = []
    waiting = iter(torn_texts)
    text = next(waiting, None)
    whole = []
    for number, line in enumerate(lines):
        if text is not None and line.decode() == text.rstrip("\r\n"):
            torn.append((number, text.rstrip("\r\n")))
            text = next(waiting, None)
        else:
            whole.append(number)
    return np.array(whole, np.int64), torn


def _parquet_file(path: Path) -> pq.ParquetFile:
    try:
        # Read column by column through small buffers: TLC writes a month as one row group.
        return pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, coerce_int96_timestamp_unit="us")
    except (pa.ArrowInvalid, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise BadFileError(
            f"{path.name} is not a readable Parquet file ({_first_line(error)}); fetch it again."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _open_parquet(path: Path, dataset: Dataset) -> RawReader:
    file = _parquet_file(path)
    header = tuple(file.schema_arrow.names)
    layout = Layout("parquet", header, map_columns(dataset, header), len(header))

    def blocks() -> Iterator[Callable[[], Block]]:
        try:
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                yield partial(_parquet_block, batch, layout, dataset)
        except (pa.ArrowInvalid, OSError) as error:
            raise BadFileError(f"{path.name} is damaged ({_first_line(error)}); fetch it again.") from error

    return RawReader(layout, blocks)


def _parquet_block(batch: pa.RecordBatch, layout: Layout, dataset: Dataset) -> Block:
    rows, bad = _canonical(batch.column, batch.num_rows, layout, dataset.schema)

    def original(indices: NDArray[np.int64]) -> list[str]:
        at = pa.array(indices)
        # Arrow cannot take from a string view.
        columns = [(c.cast(TEXT) if pa.types.is_string_view(c.type) else c).take(at) for c in batch.columns]
        # Times as text, since Python has no year 10000 and the like.
        columns = [c.cast(TEXT) if pa.types.is_timestamp(c.type) else c for c in columns]
        values = zip(*map(_values, columns), strict=True)
        # One encoder for all rows: `json.dumps` would make one for each.
        encode = json.JSONEncoder(default=str).encode
        return [encode(dict(zip(batch.schema.names, row, strict=True))) for row in values]

    return Block(batch.num_rows, rows, np.arange(batch.num_rows), bad, [], original)


def _values(column: pa.Array) -> list[Any]:
    """Return the column as Python values, through NumPy where possible: Arrow makes an object of each value."""
    numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    values: list[Any] = column.to_numpy().tolist() if numeric and not column.null_count else column.to_pylist()
    return values
