"""Times as text, in the forms that files of trips have them in, to wall-clock times of New York. Pure.

TLC writes `2020-04-01 00:12:15`, which Arrow reads by itself. The other forms are read here: fractions of a second,
parts of one digit, `04/01/2020 12:12:15 AM`, zones, and `1/4/2020 0:12`, of which the file must show what is the day.
"""

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from taxi_assets.cleaning.forms import Forms
from taxi_assets.contract.new_york import HOUR, to_wall_clock
from taxi_assets.contract.schemas import TEXT, TIME

PLAIN_TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}(:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?)?)?$"
_CLOCK = (
    r"(?P<hour>[0-9]{1,2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?)?"
    r"(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?"
)
_ZONE = r" ?(?P<zone>[A-Za-z]{1,4}|[+-][0-9]{2}(?::?[0-9]{2})?)"
# `a` and `b` are month and day, in the order that the separator and the half of the day, or else the file, show.
_YEAR_FIRST = rf"^(?P<year>[0-9]{{4}})[-/](?P<a>[0-9]{{1,2}})[-/](?P<b>[0-9]{{1,2}})(?:[ T]{_CLOCK}(?:{_ZONE})?)?$"
_YEAR_LAST = (
    r"^(?P<a>[0-9]{1,2})(?P<separator>[-/.])(?P<b>[0-9]{1,2})[-/.](?P<year>[0-9]{4})"
    rf"(?:[ T]{_CLOCK}(?:{_ZONE})?)?$"
)
UTC_NAMES = frozenset({"Z", "UTC", "GMT", "UCT", "+00:00"})
_NAMED_ZONES = {**dict.fromkeys(UTC_NAMES, 0), "EST": -300, "EDT": -240}

# In bytes: any text of a file in which the first number cannot be a month, and in which the second cannot.
_DAY_FIRST = re.compile(rb"(?<![0-9/-])(1[3-9]|2[0-9]|3[01])[/-](0?[1-9]|1[0-2])[/-][0-9]{4}(?![0-9])")
_MONTH_FIRST = re.compile(rb"(?<![0-9/-])(0?[1-9]|1[0-2])[/-](1[3-9]|2[0-9]|3[01])[/-][0-9]{4}(?![0-9])")
_EITHER_FIRST = re.compile(r"[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{4}( [^AaPp]*)?")


def read_times(text: pa.Array, how: Forms) -> pa.Array:
    """Return times of trimmed text as timestamp[us]; null where the text is no time."""
    plain = pc.match_substring_regex(text, PLAIN_TIME)
    likely = pc.if_else(plain, text, pa.scalar(None, TEXT))
    if likely.null_count == text.null_count:
        try:
            return likely.cast(TIME)
        except pa.ArrowInvalid:
            pass  # A day that is not in the calendar, such as 2021-02-30.
    coded = text.dictionary_encode()
    values = coded.dictionary
    year_first = _read(values, _YEAR_FIRST, how)
    return pc.coalesce(year_first, _read(values, _YEAR_LAST, how)).take(coded.indices)


def _read(text: pa.Array, pattern: str, how: Forms) -> pa.Array:
    parts = pc.extract_regex(text, pattern)
    matched = parts.is_valid().to_numpy(zero_copy_only=False)
    if not matched.any():
        return pa.nulls(len(text), TIME)
    at = np.flatnonzero(matched)
    fields = parts.take(pa.array(at)).flatten()
    part = dict(zip([field.name for field in parts.type], fields, strict=True))
    good, month, day = _month_and_day(part, how)
    times, in_calendar = _assemble(part, month, day)
    good &= in_calendar
    if how.zoned:
        times = _without_zone(times, part["zone"], how)
        good &= times != _NO_ZONE
    else:
        good &= _is_empty(part["zone"])
    read = np.zeros(len(text), np.int64)
    valid = np.zeros(len(text), np.bool_)
    read[at], valid[at] = times, good
    return pa.array(read, pa.int64(), mask=~valid).cast(TIME)


_NO_ZONE = np.iinfo(np.int64).min


def _number(text: pa.Array, default: int = 0) -> NDArray[np.int64]:
    filled = pc.if_else(pc.equal(text, ""), str(default), text).fill_null(str(default))
    numbers: NDArray[np.int64] = filled.cast(pa.int64()).to_numpy()
    return numbers


def _is_empty(text: pa.Array) -> NDArray[np.bool_]:
    empty: NDArray[np.bool_] = pc.equal(text, "").fill_null(True).to_numpy(zero_copy_only=False)
    return empty


def _month_and_day(
    part: dict[str, pa.Array], how: Forms
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Return where the order of month and day is known, the months, and the days."""
    a, b = _number(part["a"]), _number(part["b"])
    if "separator" not in part:
        return np.ones(len(a), np.bool_), a, b
    dotted = pc.equal(part["separator"], ".").to_numpy(zero_copy_only=False)
    # Twelve hours are counted where the month comes first.
    american = ~_is_empty(part["half"]) & ~dotted
    day_first = dotted | (~american & (how.day_first is True))
    known = dotted | american | (how.day_first is not None)
    return known, np.where(day_first, b, a), np.where(day_first, a, b)


def _assemble(
    part: dict[str, pa.Array], month: NDArray[np.int64], day: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the times as microseconds, and where the calendar and the clock have them."""
    year, hour, minute, second = (_number(part[name]) for name in ("year", "hour", "minute", "second"))
    good = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (minute <= 59) & (second <= 59)
    halves = pc.utf8_lower(part["half"]).fill_null("").to_numpy(zero_copy_only=False)
    has_half = halves != ""
    good &= np.where(has_half, (hour >= 1) & (hour <= 12), hour <= 23)
    hour = np.where(has_half, hour % 12 + 12 * (halves == "p"), hour)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    good &= days.astype("datetime64[M]") == months
    fraction = pc.utf8_slice_codeunits(pc.utf8_rpad(part["fraction"].fill_null(""), 6, "0"), 0, 6)
    clock = (hour * 3600 + minute * 60 + second) * 1_000_000 + _number(fraction)
    times: NDArray[np.int64] = days.astype("datetime64[us]").astype(np.int64) + clock
    return times, good


def _without_zone(times: NDArray[np.int64], zones: pa.Array, how: Forms) -> NDArray[np.int64]:
    """Return the times on New York's clock; `_NO_ZONE` where the zone's name is not known."""
    coded = zones.fill_null("").dictionary_encode()
    out = times.copy()
    codes = coded.indices.to_numpy()
    for code, name in enumerate(coded.dictionary.to_pylist()):
        zone = zone_name(name)
        if not name or (zone == "UTC" and not how.converts_utc):
            continue
        where = codes == code
        minutes = zone_minutes(zone)
        out[where] = _NO_ZONE if minutes is None else to_wall_clock(times[where] - minutes * (HOUR // 60))
    return out


def zone_name(text: str) -> str:
    """Return the zone of a time's text or of an Arrow type in one form: `UTC`, `-04:00`, `America/Chicago`."""
    text = text.strip()
    if re.fullmatch(r"[+-][0-9]{2}", text):
        text += ":00"
    if re.fullmatch(r"[+-][0-9]{4}", text):
        text = f"{text[:3]}:{text[3:]}"
    if text.upper().removeprefix("ETC/") in UTC_NAMES | {"ZULU", "-00:00", "UNIVERSAL", "GREENWICH"}:
        return "UTC"
    return text.upper() if text.upper() in _NAMED_ZONES else text


def zone_minutes(zone: str) -> int | None:
    """Return by how many minutes the zone of a time's text is ahead of UTC; None if the zone is not known."""
    if zone in _NAMED_ZONES or zone == "UTC":
        return _NAMED_ZONES.get(zone, 0)
    match = re.fullmatch(r"([+-])([0-9]{2}):([0-9]{2})", zone)
    if match is None or int(match[2]) > 15 or int(match[3]) > 59:
        return None
    return int(match[1] + "1") * (int(match[2]) * 60 + int(match[3]))


def zones_of(text: pa.Array) -> set[str]:
    """Return the zones that the text of times ends in."""
    found: set[str] = set()
    for pattern in (_YEAR_FIRST, _YEAR_LAST):
        names = pc.struct_field(pc.extract_regex(pc.utf8_trim_whitespace(text), pattern), "zone").unique().to_pylist()
        found |= {zone_name(name) for name in names if name and zone_minutes(zone_name(name)) is not None}
    return found


def is_ambiguous(text: str) -> bool:
    """Return whether the text could be a time whose order of day and month only other rows show."""
    return _EITHER_FIRST.fullmatch(text) is not None


def order_of_days(parts: Iterable[bytes]) -> set[bool]:
    """Return what the dates in the text show: True if a day comes first, False if a month does, nothing or both."""
    found: set[bool] = set()
    for part in parts:
        if True not in found and _DAY_FIRST.search(part):
            found.add(True)
        if False not in found and _MONTH_FIRST.search(part):
            found.add(False)
        if len(found) == 2:
            break
    return found
