"""Parts of a CSV as blocks: typed columns where all values allow it, and value by value where one does not."""

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc_csv
from numpy.typing import NDArray

from taxi_assets.cleaning.blocks import Block, canonical, zones_in
from taxi_assets.cleaning.csv_lines import Lines, is_text, place, shown
from taxi_assets.cleaning.faults import ExtraField, Fault
from taxi_assets.cleaning.faults import torn as torn_fault
from taxi_assets.cleaning.layout import Layout, split_line
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.new_york import Mask
from taxi_assets.contract.schemas import INTEGER, TEXT, TIME, Column

CODE_TEXT = pa.dictionary(pa.int32(), TEXT)


class CsvParser:
    """Parses blocks of one CSV; safe to call from several threads."""

    def __init__(self, dataset: Dataset, layout: Layout) -> None:
        self.layout = layout
        self.schema = dataset.schema
        self.names = [f"f{i}" for i in range(layout.fields)]
        self.used = [i for i, column in enumerate(layout.columns) if column is not None]
        # Fields beyond the header must be empty, or the row is not what it seems.
        self.extra = list(range(len(layout.header), layout.fields))
        plain_times = layout.forms.plain_times
        typed = {self.names[i]: _typed(layout.columns[i], plain_times) for i in self.used}
        coded = {self.names[i]: _coded(layout.columns[i], plain_times) for i in self.used}
        empty = {self.names[i]: pa.null() for i in self.extra}
        text = dict.fromkeys(self.names, TEXT)
        self.attempts = [typed | empty, coded | empty, text]
        # Blocks of one file are alike: begin with what the last one needed.
        self.first_attempt = 0

    def parse(self, part: bytes) -> Block:
        """Parse the part into a block. Each line becomes a row or a torn line, whatever its text is."""
        lines = Lines(part)
        if lines.has_lone_returns or lines.has_open_quotes or not is_text(part):
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
            return self._block(lines, table, *place(lines, torn))
        return self._parse_by_line(lines)

    def _parse_by_line(self, lines: "Lines") -> Block:
        """Parse text that is no UTF-8, or whose quotes or carriage returns blur where lines end."""
        rows, numbers, torn = [], [], []
        for number, line in enumerate(lines):
            fields = split_line(line.decode("utf-8", "replace"), self.layout.separator)
            if len(fields) == self.layout.fields:
                rows.append(fields)
                numbers.append(number)
            else:
                torn.append((number, shown(line)))
        columns = [pa.array([row[i] or None for row in rows], TEXT) for i in range(self.layout.fields)]
        return self._block(lines, pa.table(columns, names=self.names), np.array(numbers, np.int64), torn)

    def _read(self, part: bytes, types: dict[str, pa.DataType], torn: list[str]) -> pa.Table:
        def skip(row: pc_csv.InvalidRow) -> str:
            torn.append(row.text)
            return "skip"

        return pc_csv.read_csv(
            pa.BufferReader(part),
            read_options=pc_csv.ReadOptions(use_threads=False, column_names=self.names, block_size=len(part) + 1),
            parse_options=pc_csv.ParseOptions(delimiter=self.layout.separator, invalid_row_handler=skip),
            convert_options=pc_csv.ConvertOptions(
                column_types=types,
                include_columns=[self.names[i] for i in (*self.used, *self.extra)],
                null_values=["", *self.layout.forms.null_words],
                strings_can_be_null=True,
                decimal_point="," if self.layout.forms.decimal_comma else ".",
            ),
        )

    def _block(self, lines: "Lines", table: pa.Table, numbers: NDArray[np.int64], torn: list[tuple[int, str]]) -> Block:
        batch = table.combine_chunks().to_batches()[0] if table.num_rows else _no_rows(table)

        def published(position: int) -> pa.Array:
            return batch.column(self.names[position])

        rows, faults = canonical(published, batch.num_rows, self.layout, self.schema)
        for i in self.extra:
            faults.add(_filled(published(i)), ExtraField(i + 1, published(i)))

        def original(indices: NDArray[np.int64]) -> list[str]:
            return [shown(lines[i]) for i in numbers[indices]]

        return Block(
            len(lines),
            rows,
            numbers,
            faults.mask,
            torn,
            original,
            faults.of,
            self._torn_fault,
            zones_in(published, self.layout),
        )

    def _torn_fault(self, line: str) -> Fault:
        return torn_fault(len(split_line(line, self.layout.separator)), self.layout.fields)


def _typed(column: Column | None, plain_times: bool) -> pa.DataType:
    assert column is not None
    if column.type == TIME and not plain_times:
        return TEXT
    return CODE_TEXT if column.type == TEXT else column.type


def _coded(column: Column | None, plain_times: bool) -> pa.DataType:
    assert column is not None
    return CODE_TEXT if column.codes or column.type == INTEGER else _typed(column, plain_times)


def _no_rows(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in table.schema], schema=table.schema)


def _filled(array: pa.Array) -> Mask | None:
    return None if array.null_count == len(array) else array.is_valid().to_numpy(zero_copy_only=False)
