"""Values as published, of any Arrow type, to the canonical type of their column. Pure."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from taxi_assets.rules import Mask
from taxi_assets.schemas import INTEGER, NUMBER, TEXT, TIME, Column

INTEGER_TEXT = r"^[+-]?[0-9]{1,9}(\.0*)?$"
NUMBER_TEXT = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
TIME_TEXT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?$"


def convert(array: pa.Array, column: Column) -> tuple[pa.Array, Mask | None]:
    """The array in the column's type, and where a value was there that the type cannot hold.

    Such values come out as null. Empty and blank text is null and not a failure.
    """
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), column.type), None
    if pa.types.is_dictionary(array.type):
        values, bad = convert(array.dictionary, column)
        return values.take(array.indices), _spread(bad, array.indices)
    text = _as_text(array)
    if column.type == TEXT:
        return _map_text(_trim(text if text is not None else _number_text(array)), column.codes), None
    if text is not None:
        array = _trim(text)
        out = _parse(array, column)
    elif column.type == TIME:
        out = _time(array)
    else:
        out = _number(array, column.type)
    return out, _failed(array, out)


def _as_text(array: pa.Array) -> pa.Array | None:
    if pa.types.is_string(array.type):
        return array
    if pa.types.is_large_string(array.type) or pa.types.is_string_view(array.type):
        return array.cast(TEXT)
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return pa.array([None if v is None else v.decode("utf-8", "replace") for v in array.to_pylist()], TEXT)
    return None


def _trim(text: pa.Array) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, TEXT), trimmed)


def _number_text(array: pa.Array) -> pa.Array:
    """Text of a numeric column that the contract holds as text (the flag of 2009 is 0.0 or 1.0)."""
    return array.cast(TEXT)


def _map_text(text: pa.Array, codes: Mapping[str, int | str]) -> pa.Array:
    if not codes:
        return text
    coded = text.dictionary_encode()
    meanings = [None if v is None else codes.get(v.lower(), v) for v in coded.dictionary.to_pylist()]
    return pa.array(meanings, TEXT).take(coded.indices)


def _parse(text: pa.Array, column: Column) -> pa.Array:
    if column.type == TIME:
        return _parse_times(text)
    if column.codes:
        coded = text.dictionary_encode()
        numbers = [None if v is None else column.codes.get(v.lower(), v) for v in coded.dictionary.to_pylist()]
        text = pa.array([None if n is None else str(n) for n in numbers], TEXT).take(coded.indices)
    if column.type == INTEGER:
        whole = pc.replace_substring_regex(_only(text, INTEGER_TEXT), r"\.0*$|^\+", "")
        return whole.cast(INTEGER)
    return _finite(_only(text, NUMBER_TEXT).cast(NUMBER))


def _only(text: pa.Array, pattern: str) -> pa.Array:
    return pc.if_else(pc.match_substring_regex(text, pattern), text, pa.scalar(None, TEXT))


def _parse_times(text: pa.Array) -> pa.Array:
    likely = _only(text, TIME_TEXT)
    try:
        return likely.cast(TIME)
    except pa.ArrowInvalid:
        # A day that is not in the calendar, such as 2021-02-30: rare enough to go value by value.
        return pa.array([None if t is None else _calendar_time(t) for t in likely.to_pylist()], TIME)


def _calendar_time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _time(array: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        if array.type.tz is not None:
            array = pc.local_timestamp(array)
        # Never through nanoseconds: clock resets and year 2098 do not fit. Parts of a microsecond are dropped.
        return array if array.type == TIME else array.cast(TIME, safe=False)
    if pa.types.is_date(array.type):
        return array.cast(TIME)
    return pa.nulls(len(array), TIME)


def _number(array: pa.Array, type_: pa.DataType) -> pa.Array:
    if array.type == type_:
        return _finite(array) if type_ == NUMBER else array
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type)):
        return pa.nulls(len(array), type_)
    if type_ == NUMBER:
        return _finite(array.cast(NUMBER, safe=False))
    try:
        return array.cast(INTEGER)
    except pa.ArrowInvalid:
        numbers = array.cast(NUMBER, safe=False)
        fits = pc.and_(pc.equal(numbers, pc.floor(numbers)), pc.less(pc.abs(numbers), 2**31))
        return pc.if_else(fits, numbers, pa.scalar(None, NUMBER)).cast(INTEGER)


def _finite(numbers: pa.Array) -> pa.Array:
    total = pc.sum(numbers).as_py()
    if total is None or np.isfinite(total):
        return numbers
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, NUMBER))


def _failed(before: pa.Array, after: pa.Array) -> Mask | None:
    if after.null_count == before.null_count:
        return None
    failed: Mask = pc.and_(before.is_valid(), after.is_null()).to_numpy(zero_copy_only=False)
    return failed


def _spread(bad: Mask | None, indices: pa.Array) -> Mask | None:
    if bad is None:
        return None
    spread: Mask = bad[indices.fill_null(0).to_numpy()] & indices.is_valid().to_numpy(zero_copy_only=False)
    return spread
