"""Values as published, of any Arrow type, to the canonical type of their column. Pure."""

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from taxi_assets.cleaning.forms import PLAIN, Forms
from taxi_assets.cleaning.times import read_times, zone_name
from taxi_assets.contract.new_york import Mask, to_wall_clock
from taxi_assets.contract.schemas import INTEGER, NULL_WORDS, NUMBER, TEXT, TIME, Column

# All that Arrow's CSV parser reads as the type by itself, and more: a value must not mean one thing in a block that
# it can read and another in a block that it cannot. (Only hexadecimal integers are refused, see `reading`.)
INTEGER_TEXT = r"^[+-]?[0-9]+(\.0*)?$"
NUMBER_TEXT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
# Every comma, or every point where a comma is the decimal sign, stands before three digits.
MAYBE_GROUPED = r"^[+-]?([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.[0-9]*)?$"
GROUPED_BY_POINTS = r"^[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]*)?$"
# A NUL, which PostgreSQL's text cannot hold, and what stands for bytes that are not UTF-8.
BROKEN_TEXT = r"\x00|\x{FFFD}"

# What every engine can hold: a sum in cents stays exact, and a time has a calendar date.
TOO_LARGE = 1e9
FIRST_TIME = pa.scalar(datetime(1, 1, 1), TIME)
LAST_TIME = pa.scalar(datetime.max, TIME)


def convert(array: pa.Array, column: Column, forms: Forms = PLAIN) -> tuple[pa.Array, Mask | None]:
    """Return the array in the column's type, and where a value was there that the type cannot hold.

    Such values come out as null. Empty text, words for no value and NaN are null and not a failure.
    """
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), column.type), None
    if pa.types.is_dictionary(array.type):
        values, bad = convert(array.dictionary, column, forms)
        return values.take(array.indices), _spread(bad, array.indices)
    text = _as_text(array)
    if column.type == TEXT:
        # The flag of 2009 is a number in Parquet. Equal texts are many: look at each once.
        coded = (text if text is not None else array.cast(TEXT)).dictionary_encode()
        values, bad = _read_text(coded.dictionary, column.codes)
        return values.take(coded.indices), _spread(bad, coded.indices)
    if text is not None:
        array = _trim(text)
        out = _parse(array, column, forms)
    elif column.type == TIME:
        out = _time(array, forms)
    else:
        out = _number(array, column.type)
    if out.null_count == array.null_count:
        return out, None
    # A word for no value can be a code too: payment `NA` is 5.
    return out, _failed(_without_null_words(array) if text is not None else _without_nan(array), out)


def _as_text(array: pa.Array) -> pa.Array | None:
    if pa.types.is_string(array.type):
        return array
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type) or pa.types.is_boolean(array.type):
        return array.cast(TEXT)
    if is_binary(array.type):
        return pa.array([None if v is None else v.decode("utf-8", "replace") for v in array.to_pylist()], TEXT)
    return None


def is_binary(type_: pa.DataType) -> bool:
    """Return whether values of the Arrow type are bytes."""
    is_of = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
    return any(test(type_) for test in is_of)


def _trim(text: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, TEXT), trimmed)


def _without_null_words(text: pa.Array) -> pa.Array:
    is_word = pc.is_in(pc.utf8_lower(text), pa.array(NULL_WORDS))
    return pc.if_else(is_word, pa.scalar(None, TEXT), text)


def _without_nan(numbers: pa.Array) -> pa.Array:
    if not pa.types.is_floating(numbers.type):
        return numbers
    return pc.if_else(pc.is_nan(numbers.cast(NUMBER)), pa.scalar(None, numbers.type), numbers)


def _read_text(published: pa.Array, codes: Mapping[str, int | str]) -> tuple[pa.Array, Mask | None]:
    text = _without_null_words(_trim(published))
    broken = pc.match_substring_regex(text, BROKEN_TEXT)
    readable = pc.if_else(broken, pa.scalar(None, TEXT), text) if pc.any(broken).as_py() else text
    bad = _failed(text, readable)
    if codes:
        readable = pa.array([None if v is None else codes.get(v.lower(), v) for v in readable.to_pylist()], TEXT)
    return readable, bad


def _parse(text: pa.Array, column: Column, forms: Forms) -> pa.Array:
    if column.type == TIME:
        return _in_calendar(read_times(text, forms))
    if column.codes:
        coded = text.dictionary_encode()
        numbers = [None if v is None else column.codes.get(v.lower(), v) for v in coded.dictionary.to_pylist()]
        text = pa.array([None if n is None else str(n) for n in numbers], TEXT).take(coded.indices)
    pattern = INTEGER_TEXT if column.type == INTEGER else NUMBER_TEXT
    numbers = _only(_with_decimal_point(text) if forms.decimal_comma else text, pattern)
    if numbers.null_count != text.null_count and not forms.decimal_comma:
        numbers = pc.coalesce(numbers, _only(_without_commas(text), pattern))
    numbers = numbers.cast(NUMBER)
    return _number(numbers, INTEGER) if column.type == INTEGER else _in_range(numbers)


def _with_decimal_point(text: pa.Array) -> pa.Array:
    grouped = _only(text, GROUPED_BY_POINTS)
    return pc.replace_substring(pc.replace_substring(grouped, ".", ""), ",", ".")


def _without_commas(text: pa.Array) -> pa.Array:
    """Return amounts as people and spreadsheets write them, `$1,234.50`, without signs that are not digits."""
    text = pc.replace_substring_regex(text, r"^([+-]?)\$", r"\1")
    return pc.replace_substring(_only(text, MAYBE_GROUPED), ",", "")


def _only(text: pa.Array, pattern: str) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(text, pattern), text, pa.scalar(None, TEXT))


def _time(array: pa.Array, forms: Forms) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        # Never through nanoseconds: clock resets and year 2098 do not fit. Parts of a microsecond are dropped.
        zone = array.type.tz
        times = array if array.type == TIME else array.cast(pa.timestamp("us", zone), safe=False)
        return _in_calendar(times if zone is None else _on_the_clock(times, forms))
    if pa.types.is_date(array.type):
        return _in_calendar(array.cast(TIME))
    return pa.nulls(len(array), TIME)


def _on_the_clock(times: pa.Array, forms: Forms) -> pa.Array:
    """Return zoned times, which Arrow holds as instants of UTC, as they are read in New York."""
    instants = times.cast(pa.int64())
    if zone_name(times.type.tz) == "UTC" and not forms.converts_utc:
        return instants.cast(TIME)
    nulls = instants.is_null().to_numpy(zero_copy_only=False)
    shown = to_wall_clock(instants.fill_null(0).to_numpy())
    return pa.array(shown, pa.int64(), mask=nulls).cast(TIME)


def _number(array: pa.Array, type_: pa.DataType) -> pa.Array:
    if array.type == type_:
        return _in_range(array) if type_ == NUMBER else array
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type)):
        return pa.nulls(len(array), type_)
    if pa.types.is_decimal(array.type):
        # Arrow's direct cast is a bit off: 591.31 becomes 591.3100000000001.
        array = array.cast(TEXT).cast(NUMBER)
    if type_ == NUMBER:
        return _in_range(array.cast(NUMBER, safe=False))
    try:
        return array.cast(INTEGER)
    except pa.ArrowInvalid:
        numbers = array.cast(NUMBER, safe=False)
        fits = pc.and_(pc.greater_equal(numbers, -(2**31)), pc.less(numbers, 2**31))
        fits = pc.and_(fits, pc.equal(numbers, pc.floor(numbers)))
        return pc.if_else(fits, numbers, pa.scalar(None, NUMBER)).cast(INTEGER)


def _in_range(numbers: pa.Array) -> pa.Array:
    total = pc.sum(pc.abs(numbers)).as_py()
    # Not so for a total that is no number.
    if total is None or total < TOO_LARGE:
        return numbers
    return pc.if_else(pc.less(pc.abs(numbers), TOO_LARGE), numbers, pa.scalar(None, NUMBER))


def _in_calendar(times: pa.Array) -> pa.Array:
    ends = pc.min_max(times)
    if not ends["min"].is_valid or (ends["min"].value >= FIRST_TIME.value and ends["max"].value <= LAST_TIME.value):
        return times
    known = pc.and_(pc.greater_equal(times, FIRST_TIME), pc.less_equal(times, LAST_TIME))
    return pc.if_else(known, times, pa.scalar(None, TIME))


def _failed(before: pa.Array, after: pa.Array) -> Mask | None:
    failed: Mask = pc.and_(before.is_valid(), after.is_null()).to_numpy(zero_copy_only=False)
    return failed if failed.any() else None


def _spread(bad: Mask | None, indices: pa.Array) -> Mask | None:
    if bad is None:
        return None
    spread: Mask = bad[indices.fill_null(0).to_numpy()] & indices.is_valid().to_numpy(zero_copy_only=False)
    return spread
