"""Files that are not as a month's should be, each under a name that says how; made from one small good month."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, time
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from taxi_assets.sample.files import write_sample

MONTH = date(2020, 4, 1)
ROWS = 40
SEED = 20201127
# Written into every column in turn.
VALUES = {
    "far too large": "1e400",
    "not a number": "NaN",
    "hexadecimal": "0x10",
    "a quote": '"',
    "a date that is none": "2020-13-45 25:61:61",
    "a null byte": "1\0",
    "a long text": "x" * 100_000,
}


@cache
def good(ending: str) -> bytes:
    """Return the good month as a file of that ending."""
    with TemporaryDirectory() as folder:
        return write_sample("green", MONTH, Path(folder), rows=ROWS, file_format=ending).read_bytes()


def bad_files() -> Iterator[tuple[str, str, bytes]]:
    """Yield kind, ending and content."""
    for make in (_csv_forms, _csv_values, _csv_cuts, _gzips, _parquet_bytes, _parquet_types, _others):
        yield from make()


def _csv_forms() -> Iterator[tuple[str, str, bytes]]:
    text = good("csv").decode()
    header, rest = text.split("\n", 1)
    names = header.split(",")
    forms: dict[str, bytes] = {
        "nothing": b"",
        "a line end": b"\n",
        "a byte order mark": b"\xef\xbb\xbf",
        "a header alone": header.encode(),
        "a header twice": f"{header}\n{text}".encode(),
        "no header": rest.encode(),
        "a name twice": text.replace(names[1], names[0], 1).encode(),
        "an empty name": text.replace(names[3], "", 1).encode(),
        "an unknown name": text.replace(names[3], "mystery", 1).encode(),
        "no pickup": text.replace("lpep_pickup_datetime", "when", 1).encode(),
        "ten thousand columns": (",".join(f"c{n}" for n in range(10_000)) + "\n1\n").encode(),
        "a line of five megabytes": text.encode() + b"1" * 5_000_000,
        "only quotes": b'"' * 10_000,
        "a quote that stays open": text.encode() + b'"\n1,2\n',
        "rows of other lengths": (header + "\n" + "\n".join("1," * n for n in range(60))).encode(),
        "lines of nulls": header.encode() + b"\n" + b"\0" * 5_000,
        "old line ends": text.replace("\r", "").replace("\n", "\r").encode(),
        "mixed line ends": text.replace("\n", "\r\n", 7).encode(),
        "random bytes after the header": header.encode() + b"\n" + Random(SEED).randbytes(20_000),
        "random bytes": Random(SEED).randbytes(20_000),
    }
    for separator in ("\t", ";", "|", " ", "\x01"):
        forms[f"separator {separator!r}"] = text.replace(",", separator).encode()
    for encoding in ("utf-16", "utf-16-le", "utf-32", "cp037", "utf-8-sig"):
        forms[f"encoding {encoding}"] = text.encode(encoding)
    for kind, data in forms.items():
        yield kind, "csv", data


def _csv_values() -> Iterator[tuple[str, str, bytes]]:
    lines = good("csv").decode().splitlines()
    for at, name in enumerate(lines[0].split(",")):
        for kind, value in VALUES.items():
            fields = lines[3].split(",")
            fields[at] = value
            yield f"{kind} in {name}", "csv", "\n".join([*lines[:3], ",".join(fields), *lines[4:]]).encode()


def _csv_cuts() -> Iterator[tuple[str, str, bytes]]:
    data = good("csv")
    for share in range(1, 20):
        yield f"cut at {share * 5} %", "csv", data[: len(data) * share // 20]


def _gzips() -> Iterator[tuple[str, str, bytes]]:
    data, plain = good("csv.gz"), good("csv")
    for share in range(1, 12):
        yield f"a gzip cut at {share * 8} %", "csv.gz", data[: len(data) * share // 12]
    for at in range(0, len(data), max(1, len(data) // 16)):
        yield f"a flipped byte {at} of a gzip", "csv.gz", data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
    yield "a gzip of nothing", "csv.gz", gzip.compress(b"")
    yield "a gzip of a gzip", "csv.gz", gzip.compress(data)
    yield "a gzip of Parquet", "csv.gz", gzip.compress(good("parquet"))
    yield "two members", "csv.gz", data + gzip.compress(plain.split(b"\n", 1)[1])
    yield "what follows a gzip", "csv.gz", data + b"and more"
    yield "zeros by the hundred megabytes", "csv.gz", gzip.compress(plain + b"\0" * 100_000_000)
    yield "a wrong length", "csv.gz", data[:-4] + struct.pack("<I", 1)


def _parquet_bytes() -> Iterator[tuple[str, str, bytes]]:
    data = good("parquet")
    for share in range(1, 16):
        yield f"Parquet cut at {share * 6} %", "parquet", data[: len(data) * share // 16]
    random = Random(SEED)
    for number in range(40):
        at = random.randrange(len(data))
        yield f"a flipped byte {number} of Parquet", "parquet", data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
    yield "a footer of any length", "parquet", data[:-8] + struct.pack("<I", 0x7FFFFFFF) + data[-4:]
    yield "an encrypted footer", "parquet", b"PARE" + data[4:-4] + b"PARE"
    yield "Parquet named CSV", "csv", data
    yield "Parquet named gzip", "csv.gz", data
    yield "CSV named Parquet", "parquet", good("csv")


def _parquet_types() -> Iterator[tuple[str, str, bytes]]:
    table = pq.read_table(pa.BufferReader(good("parquet")))
    columns: dict[str, Callable[[], Any]] = {
        "lists": lambda: pa.array([[1.0]] * ROWS),
        "structs": lambda: pa.array([{"a": 1}] * ROWS),
        "maps": lambda: pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())),
        "times of day": lambda: pa.array([time(1)] * ROWS),
        "numbers of seconds": lambda: pa.array([1_586_000_000] * ROWS),
        "binary": lambda: pa.array([b"\xff\xfe"] * ROWS),
        "booleans": lambda: pa.array([True] * ROWS),
        "durations": lambda: pa.array([1] * ROWS, pa.duration("us")),
        "nothing but nulls": lambda: pa.nulls(ROWS),
        "decimals": lambda: pa.array([1] * ROWS).cast(pa.decimal128(30, 2)),
        "times of the year 0": lambda: pa.array([-(1 << 55)] * ROWS, pa.timestamp("us")),
        "texts": lambda: pa.array(["some text"] * ROWS),
    }
    for name in ("lpep_pickup_datetime", "fare_amount", "passenger_count", "store_and_fwd_flag"):
        for kind, make in columns.items():
            at = table.schema.get_field_index(name)
            yield f"{kind} in {name}", "parquet", _written(table.set_column(at, name, make()))
    yield "no rows", "parquet", _written(table.slice(0, 0))
    yield "no columns", "parquet", _written(table.select([]))
    yield (
        "a column of dictionaries",
        "parquet",
        _written(table.set_column(0, "VendorID", table.column(0).cast(pa.string()).dictionary_encode())),
    )
    yield "a row group a row", "parquet", _written(table, row_group_size=1)
    for codec in ("gzip", "brotli", "zstd", "lz4", "none"):
        yield f"codec {codec}", "parquet", _written(table, compression=codec)


def _written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def _others() -> Iterator[tuple[str, str, bytes]]:
    packed, archive = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("green_tripdata_2020-04.csv", good("csv"))
    with tarfile.open(fileobj=archive, mode="w") as tar:
        info = tarfile.TarInfo("green_tripdata_2020-04.csv")
        info.size = len(good("csv"))
        tar.addfile(info, io.BytesIO(good("csv")))
    others = {
        "a web page": b"<!DOCTYPE html><html><body>please sign in</body></html>",
        "an error of S3": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        "JSON": json.dumps([{"VendorID": 1}]).encode(),
        "a zip": packed.getvalue(),
        "a tar": archive.getvalue(),
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "a PDF": b"%PDF-1.7\n" + bytes(200),
        "SQLite": b"SQLite format 3\0" + bytes(200),
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 1\n",
    }
    for kind, data in others.items():
        for ending in ("csv", "csv.gz", "parquet"):
            yield f"{kind} named {ending}", ending, data
