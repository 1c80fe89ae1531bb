"""The sample source: TLC-format files made on the spot, the same bytes for the same dataset, month, rows and format.

This module names the files, decides their size, writes them in blocks and turns numbers into text. Trips are drawn in
`taxis` and `hire`; `layouts` describes a month's file. A file consists of blocks of 100,000 rows, each from its own
seed, so memory does not grow with the number of rows. CSV and Parquet of a month hold the same trips.

The bytes also depend on the versions of numpy, pyarrow and isal, which is why `sample_fingerprint` includes them. fhv
files can hold a few exact duplicates by chance, as the real ones do; the other datasets have none.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip

from taxi_assets.contract.datasets import dataset as registered
from taxi_assets.errors import SettingsError
from taxi_assets.months import month_text
from taxi_assets.sample.draws import Block, Bools, Ints
from taxi_assets.sample.hire import LOWER_CASE, fhv_block, fhvhv_block
from taxi_assets.sample.layouts import CsvLayout, ParquetLayout, csv_layout, parquet_layout
from taxi_assets.sample.taxis import FLAG_TEXTS, PAYMENT_TEXTS, VENDOR_TEXTS, taxi_block

SAMPLE_VERSION = "1"  # part of the fingerprint: raise it whenever the bytes change
FORMATS = ("csv.gz", "csv", "parquet")
LAST_CSV_MONTH = date(2021, 7, 1)
BLOCK_ROWS = 100_000
MAX_ROWS = 25_000_000
ROW_GROUP_BLOCKS = 5  # 500,000 rows are in memory at once, half of what TLC's row groups hold

_USUAL_ROWS = {"yellow": 20_000, "green": 4_000, "fhv": 15_000, "fhvhv": 30_000}
_SEASON = (0.93, 0.92, 1.06, 1.04, 1.07, 1.02, 0.96, 0.92, 0.98, 1.07, 1.01, 1.02)
# Share of the usual traffic that was left in the months of the pandemic.
_PANDEMIC = {
    **{date(2020, month, 1): left for month, left in enumerate((0.5, 0.09, 0.11, 0.16, 0.24, 0.3, 0.38), start=3)},
    **{date(2020, month, 1): left for month, left in ((10, 0.45), (11, 0.4), (12, 0.38))},
    **{date(2021, month, 1): 0.35 + 0.05 * month for month in range(1, 13)},
}


# --- What a file is called, how large it is --------------------------------------------------------------------------


def default_rows(dataset: str, month: date) -> int:
    """Return the default number of rows of a month's sample: a few thousand, with the seasons and 2020 in them.

    Raises:
        SettingsError: The dataset is unknown or has no such month.
    """
    month = _checked_month(dataset, month)
    return round(_USUAL_ROWS[dataset] * _SEASON[month.month - 1] * _PANDEMIC.get(month, 1.0))


def published_format(dataset: str, month: date) -> str:
    """Return the format in which a month is found: `csv.gz` up to 2021-07, as mirrored, and `parquet` after.

    Raises:
        SettingsError: The dataset is unknown or has no such month.
    """
    return "csv.gz" if _checked_month(dataset, month) <= LAST_CSV_MONTH else "parquet"


def sample_file_name(dataset: str, month: date, file_format: str | None = None) -> str:
    """Return the file's name as published, `green_tripdata_2020-04.csv.gz`.

    Raises:
        SettingsError: Dataset, month or format is unknown.
    """
    file_format = _checked_format(file_format or published_format(dataset, month))
    return f"{dataset}_tripdata_{month_text(_checked_month(dataset, month))}.{file_format}"


def sample_fingerprint(dataset: str, month: date, rows: int, file_format: str) -> str:
    """Return a short token that changes whenever the file's bytes would change. It can serve as an ETag.

    Raises:
        SettingsError: Dataset, month, rows or format is not allowed.
    """
    name = sample_file_name(dataset, month, file_format)
    libraries = {"csv.gz": ("numpy", "isal"), "csv": ("numpy",), "parquet": ("numpy", "pyarrow")}[file_format]
    parts = [
        SAMPLE_VERSION,
        name,
        str(_checked_rows(rows)),
        *(f"{library} {version(library)}" for library in libraries),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]


def _checked_month(dataset: str, month: date) -> date:
    month = month.replace(day=1)
    registered(dataset).check_month(month)
    return month


def _checked_format(file_format: str) -> str:
    if file_format not in FORMATS:
        raise SettingsError(f"{file_format!r} is no format of the sample source; it makes {', '.join(FORMATS)}.")
    return file_format


def _checked_rows(rows: int) -> int:
    if not 0 <= rows <= MAX_ROWS:
        raise SettingsError(f"A sample file cannot have {rows:,} rows; expected are 0 to {MAX_ROWS:,}.")
    return rows


# --- Making ----------------------------------------------------------------------------------------------------------

_MAKERS: Mapping[str, Callable[[np.random.Generator, str, date, int, int, int], Block]] = {
    "yellow": taxi_block,
    "green": taxi_block,
    "fhv": fhv_block,
    "fhvhv": fhvhv_block,
}


def _block(dataset: str, month: date, number: int, rows: int) -> Block:
    """Make block `number` (from 0) of a file of `rows` rows: `BLOCK_ROWS` rows, fewer in the last one.

    Its random numbers depend on dataset, month, block number and version alone; the number of rows in the file
    determines which part of the month the block covers.
    """
    first = number * BLOCK_ROWS
    count = min(BLOCK_ROWS, rows - first)
    seed = hashlib.sha256(f"{SAMPLE_VERSION} {dataset} {month_text(month)} {number}".encode()).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(seed[:16], "big")))
    return _MAKERS[dataset](rng, dataset, month, first, count, rows)


# --- Writing ---------------------------------------------------------------------------------------------------------


def write_sample(
    dataset: str,
    month: date,
    folder: Path,
    *,
    rows: int | None = None,
    file_format: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write a month's sample file into the folder, which is created if it does not exist.

    The file appears under its name only when it is complete, and replaces an older one. An interrupted write leaves
    nothing.

    Args:
        dataset: yellow, green, fhv or fhvhv.
        month: any day of the month.
        folder: where the file goes.
        rows: data rows in the file, dirt included; `default_rows` by default, 0 for a header alone.
        file_format: one of `FORMATS`; what was published for the month by default.
        progress: called with the number of rows written so far after each block.

    Returns:
        The path of the file, named by `sample_file_name`.

    Raises:
        SettingsError: Dataset, month, rows or format is not allowed.
    """
    month = _checked_month(dataset, month)
    rows = _checked_rows(default_rows(dataset, month) if rows is None else rows)
    file_format = _checked_format(file_format or published_format(dataset, month))
    path = folder / sample_file_name(dataset, month, file_format)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{path.name}.{secrets.token_hex(4)}.part"
    blocks = _blocks(dataset, month, rows, progress or (lambda _: None))
    try:
        if file_format == "parquet":
            _write_parquet(partial, parquet_layout(dataset, month), blocks)
        else:
            _write_csv(partial, csv_layout(dataset, month), blocks, compress=file_format == "csv.gz")
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return path


def _blocks(dataset: str, month: date, rows: int, progress: Callable[[int], None]) -> Iterator[Block]:
    for first in range(0, rows, BLOCK_ROWS):
        yield _block(dataset, month, first // BLOCK_ROWS, rows)
        progress(min(first + BLOCK_ROWS, rows))


def _write_csv(path: Path, layout: CsvLayout, blocks: Iterator[Block], *, compress: bool) -> None:
    quote = '"' if layout.quoted else ""
    with _opened(path, compress) as out:
        out.write(f"{quote}{layout.header.replace(',', f'{quote},{quote}')}{quote}{layout.header_end}".encode())
        for block in blocks:
            out.write(quote.encode())
            out.write(_csv_lines(layout, block, quote))
            out.write(f"{quote}{layout.row_end}".encode())


@contextmanager
def _opened(path: Path, compress: bool) -> Iterator[Any]:
    with path.open("wb") as raw:
        if not compress:
            yield raw
            return
        # No file name and no time in the gzip header: both would make the bytes differ from run to run.
        with igzip.IGzipFile(filename="", mode="wb", compresslevel=2, fileobj=raw, mtime=0) as out:
            yield out


def _csv_lines(layout: CsvLayout, block: Block, quote: str) -> memoryview:
    """Return the block's rows as text, without the first quote and what follows the last field."""
    columns = [_csv_column(layout, block, name) for name in layout.fields]
    lines = pc.binary_join_element_wise(*columns, f"{quote},{quote}", null_handling="replace", null_replacement="")
    all_lines = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    return memoryview(pc.binary_join(all_lines, quote + layout.row_end + quote)[0].as_buffer())


def _csv_column(layout: CsvLayout, block: Block, name: str) -> pa.Array:
    if name not in block.values:
        return pa.nulls(len(block.values["pickup"]), pa.string())
    style = layout.styles.get(name) or STYLE_OF.get(name, "number")
    return _text(block.values[name], style, block.null_of(name, csv=True))


def _write_parquet(path: Path, layout: ParquetLayout, blocks: Iterator[Block]) -> None:
    schema = layout.schema
    # TLC's files are gzip up to 2023-01 and zstd after; gzip takes seven times as long and readers see no difference.
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        group: list[pa.RecordBatch] = []
        for block in blocks:
            columns = [_parquet_column(block, *column) for column in zip(layout.fields, layout.types, strict=True)]
            group.append(pa.record_batch(columns, schema=schema))
            if len(group) == ROW_GROUP_BLOCKS:
                writer.write_table(pa.Table.from_batches(group))
                group = []
        if group:
            writer.write_table(pa.Table.from_batches(group))


def _parquet_column(block: Block, name: str, kind: pa.DataType) -> pa.Array:
    if name not in block.values or pa.types.is_null(kind):
        return pa.nulls(len(block.values["pickup"]), kind)
    values = block.values[name]
    null = block.null_of(name, csv=False)
    style = STYLE_OF.get(name, "number")
    if style == "time":
        return pa.array(values, pa.timestamp("s"), mask=null).cast(kind)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _text(values, style, null).cast(kind)
    if pa.types.is_floating(kind):
        return pa.array(values / DIVISORS.get(style, 1), kind, mask=null)
    return pa.array(values, mask=null).cast(kind)


# --- Numbers into text -----------------------------------------------------------------------------------------------

# How a field is written where a layout does not define it; all others are whole numbers.
STYLE_OF: Mapping[str, str] = {
    **dict.fromkeys(("pickup", "dropoff", "request", "on_scene"), "time"),
    **dict.fromkeys(("fare", "extra", "mta", "tip", "tolls", "improvement", "total"), "cents"),
    **dict.fromkeys(("congestion", "airport", "cbd", "base_fare", "bcf", "sales_tax", "driver_pay"), "cents"),
    **dict.fromkeys(("base", "affiliated", "originating"), "base"),
    **dict.fromkeys(("flag", "shared_request", "shared_match", "access_a_ride", "wav_request", "wav_match"), "flag"),
    **dict.fromkeys(("pickup_lon", "dropoff_lon"), "lon"),
    **dict.fromkeys(("pickup_lat", "dropoff_lat"), "lat"),
    "distance": "miles",
    "trip_miles": "thousandths",
    "license": "license",
    "vendor_text": "vendor_text",
    "payment_text": "payment_text",
}
DIVISORS: Mapping[str, int] = {"cents": 100, "miles": 100, "thousandths": 1000, "lon": 1_000_000, "lat": 1_000_000}


def _cents(values: Ints) -> list[str]:
    return [f"{value:.2f}".rstrip("0").rstrip(".") for value in (values / 100).tolist()]


def _miles(values: Ints) -> list[str]:
    return [f"{value:.2f}".removeprefix("0") for value in (values / 100).tolist()]


def _hundredths_17(values: Ints) -> list[str]:
    return [f"{value:.17g}" for value in (values / 100).tolist()]


def _degrees(values: Ints) -> list[str]:
    # From 2013 (green) and 2015 (yellow) on the coordinates went through a single-precision number.
    return [f"{value:.17g}" for value in (values / 1_000_000).astype(np.float32).astype(np.float64).tolist()]


def _degrees_17(values: Ints) -> list[str]:
    return [f"{value:.17g}" for value in (values / 1_000_000).tolist()]


def _base_numbers(values: Ints) -> list[str]:
    return [f"{'b' if value >= LOWER_CASE else 'B'}{value % LOWER_CASE:05d}" for value in values.tolist()]


def _names(names: tuple[str, ...]) -> "Style":
    return Style(0, len(names), lambda values: [names[value] for value in values.tolist()])


@dataclass(frozen=True)
class Style:
    """A way to write numbers; nearly all lie between `low` and `high`, for which a table is made once."""

    low: int
    high: int
    write: Callable[[Ints], list[str]]


_LON, _LAT = (-74_050_000, -73_700_000), (40_560_000, 40_920_000)
STYLES: Mapping[str, Style] = {
    "number": Style(0, 300, lambda values: [str(value) for value in values.tolist()]),
    "cents": Style(-10_000, 30_000, _cents),
    "cents_17": Style(-10_000, 30_000, _hundredths_17),
    "miles": Style(0, 5_000, _miles),
    "miles_17": Style(0, 5_000, _hundredths_17),
    "lon": Style(*_LON, _degrees),
    "lat": Style(*_LAT, _degrees),
    "lon_17": Style(*_LON, _degrees_17),
    "lat_17": Style(*_LAT, _degrees_17),
    "base": Style(0, 3_400, _base_numbers),
    "license": Style(0, 10, lambda values: [f"HV{value:04d}" for value in values.tolist()]),
    "flag": _names(FLAG_TEXTS),
    "vendor_text": _names(VENDOR_TEXTS),
    "payment_text": _names(PAYMENT_TEXTS),
}


@cache
def _table(style: str) -> pa.Array:
    return pa.array(STYLES[style].write(np.arange(STYLES[style].low, STYLES[style].high)), pa.string())


def _text(values: Ints, style: str, null: Bools | None) -> pa.Array:
    """Return the numbers as text, null where `null` is true."""
    if style == "time":
        return pa.array(values, pa.timestamp("s"), mask=null).cast(pa.string())
    low, high, write = STYLES[style].low, STYLES[style].high, STYLES[style].write
    if len(values) * 8 < high - low:  # too few to pay for the table
        return pa.array(write(values), pa.string(), mask=null)
    inside = (values >= low) & (values < high)
    text = _table(style).take(pa.array(np.where(inside, values - low, 0), mask=null))
    if inside.all():
        return text
    outside = ~inside if null is None else ~inside & ~null
    return pc.replace_with_mask(text, pa.array(outside), pa.array(write(values[outside]), pa.string()))
