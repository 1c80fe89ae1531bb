"""The programs and habits that trips are written with: each writes the same month its own way."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import fastparquet
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.schemas import INTEGER, NUMBER, TEXT, TIME, Column

Writer = Callable[[pa.Table, Path], None]
PARQUET, CSV = "x.parquet", "x.csv"


def make_month(dataset: Dataset, month: date, seed: int, count: int = 12) -> pa.Table:
    """Return whole trips under the names that TLC publishes, some of the columns that need no value left out."""
    random = Random(seed)
    columns = [c for c in dataset.schema.published if c.required or random.random() < 0.7]
    rows = [_trip(columns, month, i, random) for i in range(count)]
    fields = [(c.name, pa.int64() if c.type == INTEGER else c.type) for c in columns]
    return pa.Table.from_pylist(rows, pa.schema(fields)).rename_columns([published_name(c) for c in columns])


def published_name(column: Column) -> str:
    return column.aliases[0] if column.aliases else column.name


def _trip(columns: list[Column], month: date, number: int, random: Random) -> dict[str, Any]:
    # One day after the 12th decides the order of day and month.
    day = 20 if number == 0 else random.randint(1, 28)
    pickup = datetime(month.year, month.month, day, random.randint(4, 22), random.randrange(60), random.randrange(60))
    row = {c.name: None if not c.required and random.random() < 0.2 else _value(c, pickup, random) for c in columns}
    return row | {"pickup_datetime": pickup} if number else row | {c.name: pickup for c in columns if c.type == TIME}


def _value(column: Column, pickup: datetime, random: Random) -> Any:
    if column.type == TIME:
        seconds = random.randint(0, 3600)
        return pickup + timedelta(seconds=seconds if column.name == "dropoff_datetime" else -seconds)
    if column.type == NUMBER:
        return random.randint(-5000, 999999) / 100
    if column.type == TEXT:
        return random.choice(["Y", "N"] if column.codes else ["B00013", "N-A", "B,1", 'B"2', "Ж", "007"])
    return random.randint(1, 265) if column.name.endswith("location_id") else random.randint(1, 6)


def csv(**options: Any) -> Writer:
    """Return a writer of CSV by pandas."""

    def write(month: pa.Table, path: Path) -> None:
        _frame(month).to_csv(path, **{"index": False} | options)

    return write


def changed(change: Callable[[pd.DataFrame], pd.DataFrame], **options: Any) -> Writer:
    """Return a writer of CSV by pandas of a frame that was changed before."""

    def write(month: pa.Table, path: Path) -> None:
        change(_frame(month)).to_csv(path, **{"index": False} | options)

    return write


def _frame(month: pa.Table) -> pd.DataFrame:
    kinds = {pa.int64(): pd.Int64Dtype(), pa.string(): pd.StringDtype()}
    frame: pd.DataFrame = month.to_pandas(types_mapper=kinds.get)
    return frame


def each(kind: pa.DataType, form: Callable[[Any], Any]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a change of each value in columns of one type."""
    dtypes = {TIME: "datetime64[us]", INTEGER: "Int64", NUMBER: "float64", TEXT: "string"}

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        for name in frame.columns[[str(dtype) == dtypes[kind] for dtype in frame.dtypes]]:
            values = [None if pd.isna(value) else form(value) for value in frame[name]]
            frame[name] = pd.Series(values, dtype=object)
        return frame

    return change


def flags(yes: str, no: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return each(TEXT, lambda text: {"Y": yes, "N": no}.get(text, text))


def unpadded(time: datetime) -> str:
    """Return the time as Excel and Socrata write it, without leading zeros."""
    return f"{time.month}/{time.day}/{time.year} {time.hour % 12 or 12}:{time:%M:%S %p}"


def named(form: Callable[[str], str]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame.rename(columns=form)


def camel_case(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def with_columns(**values: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a change that puts columns before the others; a value may be a list of one for each row."""
    return lambda frame: pd.concat([pd.DataFrame(values, index=frame.index), frame], axis=1)


def packed(month: pa.Table, path: Path) -> None:
    path.write_bytes(igzip.compress(_frame(month).to_csv(index=False).encode()))


def polars_csv(**options: Any) -> Writer:
    return lambda month, path: pl.DataFrame(month).write_csv(path, **options)


def polars_parquet(month: pa.Table, path: Path) -> None:
    pl.DataFrame(month).write_parquet(path)


def duckdb_copy(options: str) -> Writer:
    """Return a writer by DuckDB's COPY."""

    def write(month: pa.Table, path: Path) -> None:
        with duckdb.connect() as connection:
            connection.register("trips", month)
            connection.execute(f"COPY trips TO '{path}' ({options})")

    return write


def fast_parquet(**options: Any) -> Writer:
    """Return a writer by fastparquet, which has NaN where integers are missing."""

    def write(month: pa.Table, path: Path) -> None:
        # As INT96 it writes wrong times of any other unit.
        frame = month.to_pandas()
        times = frame.select_dtypes("datetime").astype("datetime64[ns]")
        fastparquet.write(str(path), frame.assign(**{name: times[name] for name in times}), **options)

    return write


def pandas_parquet(month: pa.Table, path: Path) -> None:
    # Integers with nulls are floats in pandas, and its index is a column.
    frame = month.to_pandas()
    frame.index = pd.Index(range(7, 7 + len(frame)), name=None)[::-1]
    frame.to_parquet(path, index=True)


def parquet(change: Callable[[pa.Array], pa.Array] = lambda array: array, **options: Any) -> Writer:
    """Return a writer of Parquet by pyarrow, of arrays that were changed before."""

    def write(month: pa.Table, path: Path) -> None:
        arrays = [change(column.combine_chunks()) for column in month.columns]
        pq.write_table(pa.table(arrays, month.column_names), path, **options)

    return write


def cast(kinds: dict[pa.DataType, pa.DataType]) -> Callable[[pa.Array], pa.Array]:
    return lambda array: array.cast(kinds[array.type]) if array.type in kinds else array


def as_numbers_with_nan(array: pa.Array) -> pa.Array:
    if array.type not in (pa.int64(), pa.float64()):
        return array
    return pa.array([float("nan") if v is None else float(v) for v in array.to_pylist()])


def as_booleans(array: pa.Array) -> pa.Array:
    """Return flags as truth values; a column of texts that has others is none."""
    if array.type == TEXT and {*array.to_pylist()} <= {"Y", "N", None}:
        return pa.array([None if v is None else v == "Y" for v in array.to_pylist()], pa.bool_())
    return array


INT, FLOAT = pa.int64(), pa.float64()
DIALECTS: dict[str, tuple[str, Writer]] = {
    # Times.
    "ISO 8601": (CSV, csv(date_format="%Y-%m-%dT%H:%M:%S")),
    "Socrata's API": (CSV, csv(date_format="%Y-%m-%dT%H:%M:%S.000")),
    "microseconds": (CSV, csv(date_format="%Y-%m-%d %H:%M:%S.%f")),
    "nanoseconds": (CSV, csv(date_format="%Y-%m-%d %H:%M:%S.%f000")),
    "Socrata": (CSV, csv(date_format="%m/%d/%Y %I:%M:%S %p")),
    "unpadded": (CSV, changed(each(TIME, unpadded))),
    "month first": (CSV, csv(date_format="%m/%d/%Y %H:%M:%S")),
    "day first": (CSV, csv(date_format="%d/%m/%Y %H:%M:%S")),
    "day.month.year": (CSV, csv(date_format="%d.%m.%Y %H:%M:%S")),
    # Missing values.
    **{f"null {word}": (CSV, csv(na_rep=word)) for word in ("nan", "NaN", "NULL", "null", r"\N", "None", "NA", "N/A")},
    # Flags.
    "true": (CSV, changed(flags("true", "false"))),
    "True": (CSV, changed(flags("True", "False"))),
    "t": (CSV, changed(flags("t", "f"))),
    "1": (CSV, changed(flags("1", "0"))),
    "yes": (CSV, changed(flags("yes", "no"))),
    # Separators, quotes, ends and encodings.
    "tab": (CSV, csv(sep="\t")),
    "semicolon": (CSV, csv(sep=";")),
    "bar": (CSV, csv(sep="|")),
    "all quoted": (CSV, csv(quoting=1)),
    "carriage returns": (CSV, csv(lineterminator="\r\n")),
    "byte order mark": (CSV, csv(encoding="utf-8-sig")),
    "UTF-16": (CSV, csv(encoding="utf-16", sep="\t")),
    "gzip": ("x.csv.gz", packed),
    # Numbers.
    "integers as 1.0": (CSV, changed(each(INTEGER, lambda value: f"{value}.0"))),
    "decimal comma": (CSV, csv(sep=";", decimal=",")),
    "thousands": (CSV, changed(each(NUMBER, lambda value: f"{value:,}"))),
    "exponents": (CSV, csv(float_format="%.8e")),
    # Columns of others.
    "nameless index": (CSV, csv(index=True)),
    "id": (CSV, csv(index=True, index_label="id")),
    "level_0": (CSV, csv(index=True, index_label="level_0")),
    "Unnamed: 0": (CSV, changed(with_columns(**{"Unnamed: 0": 7, "Unnamed: 0.1": 8}))),
    "dlt's ids": (CSV, changed(with_columns(_dlt_load_id="1718.2", _dlt_id="Xq1"))),
    "Hive's folders": (CSV, changed(with_columns(year=2024, month=2))),
    # Names.
    "upper case": (CSV, changed(named(str.upper))),
    "camel case": (CSV, changed(named(camel_case))),
    "spaces around names": (CSV, changed(named(lambda name: f" {name} "))),
    # Other programs.
    "polars": (CSV, polars_csv()),
    "polars, quoted tabs": (CSV, polars_csv(separator="\t", quote_style="always", null_value="null")),
    "DuckDB": (CSV, duckdb_copy("FORMAT csv")),
    "DuckDB, its own times": (CSV, duckdb_copy("FORMAT csv, TIMESTAMPFORMAT '%m/%d/%Y %I:%M:%S %p', NULL 'NULL'")),
    "polars' Parquet": (PARQUET, polars_parquet),
    "DuckDB's Parquet": (PARQUET, duckdb_copy("FORMAT parquet, COMPRESSION zstd")),
    "pandas' Parquet": (PARQUET, pandas_parquet),
    "fastparquet": (PARQUET, fast_parquet()),
    "fastparquet, INT96": (PARQUET, fast_parquet(times="int96", compression="GZIP")),
    # Types and codecs of Parquet.
    **{f"Parquet, {codec}": (PARQUET, parquet(compression=codec)) for codec in ("none", "gzip", "brotli", "lz4")},
    "INT96": (PARQUET, parquet(use_deprecated_int96_timestamps=True)),
    "NaN": (PARQUET, parquet(as_numbers_with_nan)),
    "booleans": (PARQUET, parquet(as_booleans)),
    "large texts": (PARQUET, parquet(cast({TEXT: pa.large_string()}))),
    "text views": (PARQUET, parquet(cast({TEXT: pa.string_view()}))),
    "dictionaries": (PARQUET, parquet(lambda array: array.dictionary_encode() if array.type == TEXT else array)),
    "decimals": (PARQUET, parquet(cast({FLOAT: pa.decimal128(12, 2), INT: pa.decimal128(20, 0)}))),
    "unsigned": (PARQUET, parquet(cast({INT: pa.uint16()}))),
    "numbers as texts": (PARQUET, parquet(cast({INT: TEXT, FLOAT: TEXT}))),
    "times as texts": (PARQUET, parquet(cast({TIME: TEXT}))),
    "nanoseconds in Parquet": (PARQUET, parquet(cast({TIME: pa.timestamp("ns")}))),
}
