"""Raw files made at random, as TLC could have published them, and what the contract must make of each of their rows.

What is expected comes from plain Python values and the rules' wording, not from the code under test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from isal import igzip

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.schemas import INTEGER, NUMBER, TEXT, TIME, Column

UNREADABLE = "unreadable"
ZONE_NAMES = ("pickup_location_id", "dropoff_location_id")
TEXTS = ("B00013", "b2", "N", "Y", "y", "1", "0.0", "N-A", "B,1", 'B"2', "Ж", " HV0003 ")
GARBAGE = {INTEGER: ("x", "1.5", "0x1F", "99999999999", "1 2"), NUMBER: ("1,5x", "1,5", "inf", "1e12", "--1")}
GARBAGE[TIME] = ("2020-13-01 00:00:00", "2021-02-30 00:00:00", "12:00", "0000-01-01 00:00:00", "soon")


@dataclass
class Made:
    """A file's content, and of each of its rows the canonical values or `UNREADABLE`, in the file's order."""

    dataset: Dataset
    month: date
    columns: list[Column]
    rows: list[dict[str, Any] | str]
    lines: list[bytes]
    data: bytes = b""

    @property
    def expected(self) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
        """The kept rows, and the rejected ones as number and reason, both in the file's order."""
        kept, rejected, seen = [], [], set()
        names = [column.name for column in self.columns]
        for number, row in enumerate(self.rows, start=1):
            reason = "unreadable_row" if isinstance(row, str) else broken_rule(row, self.dataset, self.month)
            if reason is None:
                values = tuple(row[name] for name in names)
                # Without a dropoff time, equal rows are different trips.
                compared = row.get("dropoff_datetime") is not None
                reason = "duplicate_row" if compared and values in seen else None
                seen.add(values)
            if reason is None:
                absent = dict.fromkeys(self.dataset.schema.names)
                kept.append(absent | row | {"source_month": self.month})
            else:
                rejected.append((number, reason))
        return kept, rejected


def broken_rule(row: dict[str, Any], dataset: Dataset, month: date) -> str | None:
    pickup, dropoff = row.get("pickup_datetime"), row.get("dropoff_datetime")
    if pickup is None or (dropoff is None and dataset.name != "fhv"):
        return "missing_times"
    day = timedelta(days=1)
    end = datetime(month.year + (month.month == 12), month.month % 12 + 1, 1)
    if not datetime(month.year, month.month, 1) - day <= pickup < end + day:
        return "pickup_outside_month"
    if dropoff is not None and dropoff < pickup and not _is_excused(row, pickup, dropoff):
        return "dropoff_before_pickup"
    if dataset.name in ("yellow", "green") and row.get("passenger_count") == 0:
        return "no_passengers"
    if any(row.get(name) is not None and not 1 <= row[name] <= 265 for name in ZONE_NAMES):
        return "unknown_zone"
    return None


def _is_excused(row: dict[str, Any], pickup: datetime, dropoff: datetime) -> bool:
    """Return whether vendor 6 wrote months for minutes; no month made here has a repeated hour."""
    minutes = pickup.minute == pickup.month and dropoff.minute == dropoff.month
    hours = dropoff.replace(minute=0, second=0) >= pickup.replace(minute=0, second=0)
    return row.get("vendor_id") == 6 and minutes and hours


def make_rows(dataset: Dataset, month: date, count: int, random: Random) -> Made:
    """Rows of canonical values in some of the dataset's columns, shuffled; some repeat an earlier one."""
    some = [c for c in dataset.schema.published if c.required or random.random() < 0.6]
    columns = some if len(some) > 1 else list(dataset.schema.published)
    random.shuffle(columns)
    rows: list[dict[str, Any]] = []
    for _ in range(count):
        again = rows and random.random() < 0.15
        rows.append(dict(random.choice(rows)) if again else {c.name: _value(c, month, random) for c in columns})
    return Made(dataset, month, columns, list(rows), [])


def _value(column: Column, month: date, random: Random) -> Any:
    if random.random() < (0.03 if column.required else 0.15):
        return None
    if column.type == TIME:
        start = datetime(month.year, month.month, 1)
        # Mostly in the month, and around both ends of the day of grace.
        days = random.choice((random.uniform(0, 30), random.uniform(-2, 0), random.uniform(28, 34), -4000, 20000))
        hours = random.uniform(0, 200) if column.name == "dropoff_datetime" else 0
        return (start + timedelta(days=days, hours=hours)).replace(microsecond=0)
    if column.type == NUMBER:
        return random.randint(-5000, 99999) / 100
    if column.type == TEXT:
        text = random.choice(TEXTS).strip()
        return column.codes.get(text.lower(), text)
    if column.name in ZONE_NAMES:
        return random.choice((random.randint(1, 265), 1, 265, random.choice((0, 266, 99))))
    return random.choice((random.randint(0, 6), random.randint(1, 6), 2**31 - 1, -(2**31), 1234567890))


def _published_name(column: Column, random: Random) -> str:
    name = random.choice((column.name, *column.aliases))
    return random.choice(("", " ")) + random.choice((name, name.upper(), name.title())) + random.choice(("", "  "))


def _text(column: Column, value: Any, random: Random) -> str:
    """One of the ways to write the value."""
    if value is None:
        return random.choice(("", "", " "))
    codes = [text for text, code in column.codes.items() if code == value]
    if codes and random.random() < 0.5:
        text = random.choice(codes)
        return random.choice((text, text.upper(), text.title()))
    if column.type == TIME:
        forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S.000", "%Y-%m-%d %H:%M:%S "]
        return value.strftime(random.choice(forms))
    if column.type == INTEGER:
        return random.choice((str(value), f"{value}.0", f" {value} ", f"{value:+d}", str(value), str(value)))
    if column.type == NUMBER:
        return random.choice((repr(value), f"{value:.2f}", f" {value}", f"{value}e0"))
    return random.choice((value, f" {value} "))


def make_csv(made: Made, random: Random, dirt: float) -> Made:
    """Write the rows as CSV in a random layout, each spoilt with the probability `dirt`."""
    quoted = random.random() < 0.3
    extra = random.choice((0, 0, 1, 2))
    end = random.choice((b"\n", b"\r\n"))

    def line(fields: list[str]) -> bytes:
        whole = [f'"{f.replace(chr(34), chr(34) * 2)}"' if quoted or set(f) & set(',"') else f for f in fields]
        return ",".join(whole).encode()

    header = [_published_name(c, random) for c in made.columns]
    ignored = random.random() < 0.2
    if ignored:
        header.append("__index_level_0__")
    columns = made.columns
    # The layout is what most lines have, so most lines must have it.
    spoilable = len(made.rows) // 4
    for index, row in enumerate(made.rows):
        fields = [_text(c, row[c.name], random) for c in columns] + ["7"] * ignored + [""] * extra
        text = line(fields)
        if index > 2 and spoilable and random.random() < dirt:
            spoilable -= 1
            text = _spoil(fields, columns, extra, line, random)
            made.rows[index] = UNREADABLE
        made.lines.append(text)
    parts = [b"\xef\xbb\xbf"] if random.random() < 0.2 else []
    parts += [line(header) + random.choice((b"", b"," * extra)), random.choice((b"\n", b"\r\n"))]
    parts.append(random.choice((b"", end, end + end)))
    for text in made.lines:
        parts += [text, end, end if random.random() < 0.1 else b""]
    made.data = b"".join(parts)
    if made.lines and random.random() < 0.3:
        made.data = made.data.rstrip(b"\r\n")
    return made


def _spoil(fields: list[str], columns: list[Column], extra: int, line: Any, random: Random) -> bytes:
    """Return the line, spoilt so that it must be unreadable."""
    kind = random.choice(("garbage", "short", "long", "quote", "latin", "return", "nul", "extra"))
    timed = next(i for i, c in enumerate(columns) if c.name == "pickup_datetime")
    texts = [i for i, c in enumerate(columns) if c.type == TEXT] or [timed]
    if kind == "garbage":
        at = random.choice([i for i, c in enumerate(columns) if c.type in GARBAGE])
        return line([*fields[:at], random.choice(GARBAGE[columns[at].type]), *fields[at + 1 :]])
    if kind == "short":
        # A blank line would be no row at all.
        return line(fields[: random.randint(1, len(fields) - 1)]) or b"1"
    if kind == "long":
        return line([*fields, random.choice(("", "x"))])
    if kind == "extra" and extra:
        return line([*fields[:-1], "x"])
    if kind == "quote":
        # A comma inside a later field would make up for the comma that the open quote swallows.
        plain = [f.replace(",", "").replace('"', "").strip() or "1" for f in fields]
        at = random.randrange(len(plain) - 1)
        return b",".join([*(f.encode() for f in plain[:at]), b'"' + plain[at].encode(), line(plain[at + 1 :])])
    at = random.choice(texts) if kind in ("latin", "nul") else timed
    mark = {"latin": b"\xff", "nul": b"\0"}.get(kind, b"\r")
    whole = line([*fields[:at], "2020-0@1", *fields[at + 1 :]])
    return whole.replace(b"@", mark)


def make_parquet(made: Made, random: Random, dirt: float) -> Made:
    """Write the rows as Parquet with varied types; values that a type cannot hold spoil their rows."""
    arrays = []
    for column in made.columns:
        values = [row[column.name] if not isinstance(row, str) else None for row in made.rows]
        array, spoilt = _array(column, values, random, dirt)
        for index in spoilt:
            made.rows[index] = UNREADABLE
        arrays.append(array)
    names = [_published_name(c, random) for c in made.columns]
    if random.random() < 0.2:
        arrays.append(pa.array(range(len(made.rows)), pa.int64()))
        names.append("__index_level_0__")
    sink = pa.BufferOutputStream()
    old_times = random.random() < 0.3
    pq.write_table(pa.table(arrays, names), sink, use_deprecated_int96_timestamps=old_times, row_group_size=7)
    made.data = sink.getvalue().to_pybytes()
    return made


def _array(column: Column, values: list[Any], random: Random, dirt: float) -> tuple[pa.Array, list[int]]:
    if all(value is None for value in values) and random.random() < 0.7:
        return pa.nulls(len(values)), []
    if column.type == TEXT or random.random() < 0.3:
        return _text_array(column, values, random, dirt)
    if column.type == INTEGER:
        return _integer_array(values, random, dirt)
    if column.type == NUMBER:
        return _number_array(values, random, dirt)
    kind = random.choice(("s", "ms", "us", "ns", "UTC"))
    return pa.array(values, pa.timestamp("us", "UTC") if kind == "UTC" else pa.timestamp(kind)), []


def _text_array(column: Column, values: list[Any], random: Random, dirt: float) -> tuple[pa.Array, list[int]]:
    spoilt: list[int] = []
    texts = [None if v is None else _text(column, v, random) for v in values]
    for index in range(len(texts)):
        if column.type in GARBAGE and random.random() < dirt / 4:
            texts[index] = random.choice(GARBAGE[column.type])
            spoilt.append(index)
    array = pa.array(texts, pa.string())
    kind = random.choice((pa.string(), pa.large_string(), pa.binary(), pa.string_view(), None))
    return (array.dictionary_encode() if kind is None else array.cast(kind)), spoilt


def _integer_array(values: list[Any], random: Random, dirt: float) -> tuple[pa.Array, list[int]]:
    spoilt: list[int] = []
    kind = random.choice((pa.int32(), pa.int64(), pa.float64(), pa.decimal128(12, 1)))
    if kind == pa.decimal128(12, 1):
        return pa.array([None if v is None else Decimal(v) for v in values], kind), []
    if kind != pa.int32() and random.random() < dirt and values:
        spoilt.append(random.randrange(len(values)))
        values[spoilt[0]] = 1.5 if kind == pa.float64() else 2**31
    return pa.array(values, pa.int64() if kind == pa.int32() else kind).cast(kind, safe=True), spoilt


def _number_array(values: list[Any], random: Random, dirt: float) -> tuple[pa.Array, list[int]]:
    spoilt: list[int] = []
    if random.random() < 0.3:
        return pa.array([None if v is None else Decimal(str(v)) for v in values], pa.decimal128(12, 2)), []
    if random.random() < dirt and values:
        spoilt.append(random.randrange(len(values)))
        values[spoilt[0]] = random.choice((float("inf"), -1e300))
    missing = float("nan") if random.random() < 0.3 else None
    return pa.array([missing if v is None else v for v in values], NUMBER), spoilt


def write(made: Made, folder: Path, ending: str) -> Path:
    path = folder / f"raw.{ending}"
    path.write_bytes(igzip.compress(made.data, mtime=0) if ending == "csv.gz" else made.data)
    return path


def lines_of(data: bytes) -> Iterator[bytes]:
    """Return the lines that are not blank, without their ends; the first is the header."""
    return (line for line in (piece.rstrip(b"\r") for piece in data.split(b"\n")) if line)
