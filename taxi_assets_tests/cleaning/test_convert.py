"""Published values of every Arrow type to the canonical types, and what no type can hold."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc_csv
import pytest

from taxi_assets.cleaning.convert import convert
from taxi_assets.cleaning.forms import Forms
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.schemas import (
    FLAG_CODES,
    INTEGER,
    NUMBER,
    PAYMENT_CODES,
    SHARED_CODES,
    TEXT,
    TIME,
    VENDOR_CODES,
    Column,
)

WHOLE = Column("whole", INTEGER, "")
NUMERIC = Column("numeric", NUMBER, "")
TIMED = Column("timed", TIME, "")
NAMED = Column("named", TEXT, "")
VENDOR = Column("vendor", INTEGER, "", codes=VENDOR_CODES)
PAYMENT = Column("payment", INTEGER, "", codes=PAYMENT_CODES)
FLAG = Column("flag", TEXT, "", codes=FLAG_CODES)
SHARED = Column("shared", INTEGER, "", codes=SHARED_CODES)

BAD = object()
NOON = datetime(2020, 4, 1, 12)


def converted(array: pa.Array, column: Column) -> list[Any]:
    """Values, with BAD for those that the column cannot hold."""
    out, bad = convert(array, column)
    assert out.type == column.type
    marks = [False] * len(array) if bad is None else bad.tolist()
    values = out.to_pylist()
    assert all(value is None for value, mark in zip(values, marks, strict=True) if mark)
    return [BAD if mark else value for value, mark in zip(values, marks, strict=True)]


NULL_TEXTS = ["nan", "NaN", "NULL", "null", r"\N", "None", "NA", "N/A", "<NA>", "NaT", "#N/A", " nan "]
TEXTS = [
    (WHOLE, ["5", " 5 ", "+5", "-5", "5.0", "5.", "007", "0000000000005"], [5, 5, 5, -5, 5, 5, 7, 5]),
    (WHOLE, ["2147483647", "-2147483648", "1234567890"], [2147483647, -2147483648, 1234567890]),
    (WHOLE, ["", " ", None], [None, None, None]),
    (WHOLE, ["x", "5.5", "1e3", "0x1F", "2147483648", "-2147483649", "9" * 400, "1 2", "--5"], [BAD] * 9),
    (NUMERIC, ["1.5", "-.5", "5.", "+5", "1e2", "1E+0002", " 7 "], [1.5, -0.5, 5.0, 5.0, 100.0, 100.0, 7.0]),
    (NUMERIC, ["inf", "1e400", "1e9", "-1e9", "0x1p3", "1,5", "1,23,456", "$", "e5"], [BAD] * 9),
    (
        NUMERIC,
        ["7", "1,234.5", "-1,234,567", "$5", "-$1,234.50", "12,345."],
        [7.0, 1234.5, -1234567.0, 5.0, -1234.5, 12345.0],
    ),
    (WHOLE, ["7", "1,234", "1,234.0"], [7, 1234, 1234]),
    *((column, NULL_TEXTS, [None] * len(NULL_TEXTS)) for column in (WHOLE, NUMERIC, TIMED, NAMED, VENDOR, FLAG)),
    (NUMERIC, ["999999999.99", "", None], [999999999.99, None, None]),
    (TIMED, ["2020-04-01 12:00:00", "2020-04-01T12:00:00", "2020-04-01 12:00", "2020-04-01 12"], [NOON] * 4),
    (TIMED, ["2020-04-01 12:00:00.5", " 2020-04-01 "], [NOON.replace(microsecond=500000), datetime(2020, 4, 1)]),
    (TIMED, ["0001-01-01 00:00:00", "9999-12-31 23:59:59"], [datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59)]),
    (
        TIMED,
        ["2021-02-30 00:00:00", "2020-04-01 24:00:00", "0000-01-01", "2020-04-01 12:00:00Z", "4/1/2020"],
        [BAD] * 5,
    ),
    (NAMED, [" B1 ", "", "  ", None, "Ж"], ["B1", None, None, None, "Ж"]),
    (NAMED, ["B\x001", "B\ufffd1"], [BAD, BAD]),
    (VENDOR, ["CMT", "vts", " DDS ", "2", "6.0", ""], [1, 2, 3, 2, 6, None]),
    (VENDOR, ["XYZ"], [BAD]),
    (PAYMENT, ["Cash", "CRE", "Credit", "NOC", "No Charge", "DIS", "UNK", "1"], [2, 1, 1, 3, 3, 4, 5, 1]),
    (FLAG, ["true", "True", "t", "FALSE", "f", "yes"], ["Y", "Y", "Y", "N", "N", "Y"]),
    (SHARED, ["true", "F", "1", "0.0", ""], [1, 0, 1, 0, None]),
    (FLAG, ["0", "1", "0.0", "1.0", "n", "Y", "*"], ["N", "Y", "N", "Y", "N", "Y", "*"]),
]


@pytest.mark.parametrize(("column", "texts", "expected"), TEXTS)
@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "large_binary", "string_view", "dictionary"])
def test_text(column: Column, texts: list[str | None], expected: list[Any], kind: str) -> None:
    array = pa.array(texts, pa.string())
    array = array.dictionary_encode() if kind == "dictionary" else array.cast(getattr(pa, kind)())
    assert converted(array, column) == expected


@pytest.mark.parametrize(("column", "texts", "expected"), TEXTS)
def test_what_arrows_parser_reads_by_itself_means_the_same_as_text(
    column: Column, texts: list[str | None], expected: list[Any]
) -> None:
    """A block is read with types or as text depending on its other rows, which must not change a value."""
    read = 0
    for text, value in zip(texts, expected, strict=True):
        # Hexadecimal is kept from Arrow's parser by the reader.
        if text is None or "0x" in text or "\0" in text:
            continue
        options = pc_csv.ConvertOptions(column_types={"v": column.type, "w": TEXT}, null_values=[""])
        source = pa.BufferReader(f'v,w\n"{text}",1\n'.encode())
        try:
            array = pc_csv.read_csv(source, convert_options=options).column("v").combine_chunks()
        except pa.ArrowInvalid:
            continue
        read += 1
        assert converted(array, column) == [value]
    assert read or BAD in expected or column.codes or texts == NULL_TEXTS


@pytest.mark.parametrize("kind", [pa.int8(), pa.int32(), pa.int64(), pa.uint16(), pa.float64(), pa.decimal128(9, 2)])
def test_numbers_of_any_type(kind: pa.DataType) -> None:
    values = [Decimal(5), None] if pa.types.is_decimal(kind) else [5, None]
    array = pa.array(values, kind)
    assert converted(array, WHOLE) == [5, None]
    assert converted(array, NUMERIC) == [5.0, None]
    assert converted(array.dictionary_encode(), WHOLE) == [5, None]


def test_numbers_that_do_not_fit() -> None:
    assert converted(pa.array([2**31, -(2**31), 2**60, 7], pa.int64()), WHOLE) == [BAD, -(2**31), BAD, 7]
    assert converted(pa.array([1.5, float("inf"), 3.0, None]), WHOLE) == [BAD, BAD, 3, None]
    assert converted(pa.array([float("-inf"), 1e9, 1.0]), NUMERIC) == [BAD, BAD, 1.0]
    assert converted(pa.array([True, None]), NUMERIC) == [BAD, None]
    assert converted(pa.array([NOON]), WHOLE) == [BAD]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
@pytest.mark.parametrize("column", [WHOLE, NUMERIC, FLAG])
def test_nan_is_null(column: Column, kind: pa.DataType) -> None:
    """As which pandas, fastparquet and dask write a missing number."""
    array = pa.array([float("nan"), 1.0, None], kind)
    one = "Y" if column is FLAG else 1
    assert converted(array, column) == [None, one, None]
    if column is not FLAG:
        assert converted(pa.concat_arrays([array, pa.array([float("inf")], kind)]), column) == [None, one, None, BAD]


def test_a_word_for_no_value_that_is_a_code_hides_no_other_value() -> None:
    column = DATASETS["yellow"].schema.column("payment_type")
    values, bad = convert(pa.array(["NA", "1.5", "null"]), column)
    assert values.to_pylist() == [5, None, None]
    assert bad is not None
    assert bad.tolist() == [False, True, False]


def test_truth_values() -> None:
    array = pa.array([True, False, None])
    for kind in (array, array.dictionary_encode()):
        assert converted(kind, FLAG) == ["Y", "N", None]
        assert converted(kind, SHARED) == [1, 0, None]
        assert converted(kind, WHOLE) == [BAD, BAD, None]


def test_a_decimal_is_the_number_that_its_digits_say() -> None:
    assert converted(pa.array([Decimal("591.31"), Decimal("-0.10")], pa.decimal128(12, 2)), NUMERIC) == [591.31, -0.1]


def test_a_number_where_the_contract_has_text() -> None:
    assert converted(pa.array([0.0, 1.0, None]), FLAG) == ["N", "Y", None]
    assert converted(pa.array([0, 1, None]), FLAG) == ["N", "Y", None]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_any_unit(unit: str) -> None:
    assert converted(pa.array([NOON, None], pa.timestamp(unit)), TIMED) == [NOON, None]


@pytest.mark.parametrize("zone", ["UTC", "Etc/UTC", "+00:00", "GMT"])
def test_times_marked_utc_are_read_as_the_user_decides(zone: str) -> None:
    array = pa.array([NOON, None], pa.timestamp("ms", zone))
    assert converted(array, TIMED) == [NOON, None]
    values, bad = convert(array, TIMED, Forms(converts_utc=True))
    assert (values.to_pylist(), bad) == ([datetime(2020, 4, 1, 8), None], None)


@pytest.mark.parametrize("zone", ["America/New_York", "US/Eastern", "America/Chicago", "-04:00", "Europe/London"])
def test_times_of_other_zones_are_instants(zone: str) -> None:
    instant = pa.array([NOON, None], pa.timestamp("us")).cast(pa.int64()).cast(pa.timestamp("us", zone))
    for forms in (Forms(), Forms(converts_utc=True)):
        assert convert(instant, TIMED, forms)[0].to_pylist() == [datetime(2020, 4, 1, 8), None]


def test_other_times() -> None:
    assert converted(pa.array([date(2020, 4, 1)]), TIMED) == [datetime(2020, 4, 1)]
    assert converted(pa.array([1585742400]), TIMED) == [BAD]
    # A part of a microsecond is dropped; years beyond what nanoseconds hold are not lost.
    assert converted(pa.array([1001], pa.timestamp("ns")), TIMED) == [datetime(1970, 1, 1, 0, 0, 0, 1)]
    assert converted(pa.array([datetime(2998, 1, 1)]), TIMED) == [datetime(2998, 1, 1)]


def test_a_time_that_no_calendar_has() -> None:
    array = pa.array([-(2**62), 2**62, 0], pa.int64()).cast(TIME)
    assert converted(array, TIMED) == [BAD, BAD, datetime(1970, 1, 1)]


@pytest.mark.parametrize("column", [WHOLE, NUMERIC, TIMED, NAMED, FLAG])
def test_nothing_but_nulls(column: Column) -> None:
    assert converted(pa.nulls(2), column) == [None, None]
    assert converted(pa.nulls(2, pa.large_string()), column) == [None, None]
    assert converted(pa.array([], pa.string()), column) == []
