"""The rules that reject rows, in their order, and the quality flags, which are only counted.

To change what is rejected, change the tuples of rules below. Two rules are applied elsewhere because they need more
than a row: `unreadable_row` where values are converted, `duplicate_row` once the whole month is known.
Pure: NumPy in, NumPy out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from taxi_assets.contract.new_york import HOUR, Mask, durations, runs_through_repeated_hour
from taxi_assets.months import next_month

UNREADABLE = "unreadable_row"
DUPLICATE = "duplicate_row"

GRACE = timedelta(days=1)
ZONES = range(1, 266)
MAX_MILES = 100
MAX_MILES_PER_HOUR = 100
# November, and October, whose files may reach into a first of November.
MONTHS_OF_REPEATED_HOUR = (10, 11)
MONTHS_OF_CLOCK_CHANGES = (3, *MONTHS_OF_REPEATED_HOUR)
# Wrote the month where the minute belongs in 2020 and until 2025.
VENDOR_OF_MONTHS_AS_MINUTES = 6


class Rows:
    """NumPy views of a record batch's columns, made once each.

    They are kept in plain dictionaries: `functools.cache` on a bound method would make a cycle, and the rows would
    stay in memory until the garbage collector comes by, which it seldom does.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._values: dict[str, NDArray[Any]] = {}
        self._nulls: dict[str, Mask | None] = {}

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def has(self, name: str) -> bool:
        """Return whether the column exists and holds any value."""
        index = self._batch.schema.get_field_index(name)
        return bool(index >= 0 and self._batch.column(index).null_count < len(self))

    def values(self, name: str) -> NDArray[Any]:
        """Return the column's buffer, zero-copy; what stands at nulls is arbitrary."""
        if name not in self._values:
            column = self._batch.column(name)
            dtype = np.dtype("int64") if pa.types.is_timestamp(column.type) else np.dtype(column.type.to_pandas_dtype())
            buffer = np.frombuffer(column.buffers()[1], dtype)
            self._values[name] = buffer[column.offset : column.offset + len(column)]
        return self._values[name]

    def nulls(self, name: str) -> Mask | None:
        """Return where the column is null; None stands for nowhere."""
        if name not in self._nulls:
            column = self._batch.column(name)
            self._nulls[name] = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
        return self._nulls[name]

    def where(self, name: str, found: Mask) -> Mask:
        """Return `found`, but never where the column is null."""
        nulls = self.nulls(name)
        return found if nulls is None else found & ~nulls


@dataclass(frozen=True)
class Rule:
    """A reason to reject rows; `find` marks them, or returns None when none can be meant."""

    name: str
    description: str
    find: Callable[[Rows, date], Mask | None]


def microseconds(day: date) -> int:
    """Return midnight of the day as Arrow's timestamp[us] counts it."""
    return (day - date(1970, 1, 1)) // timedelta(microseconds=1)


def _missing(*names: str) -> Callable[[Rows, date], Mask | None]:
    def find(rows: Rows, _month: date) -> Mask | None:
        found = None
        for name in names:
            nulls = rows.nulls(name)
            if nulls is not None:
                found = nulls if found is None else found | nulls
        return found

    return find


def _outside_month(rows: Rows, month: date) -> Mask | None:
    if not rows.has("pickup_datetime"):
        return None
    pickup = rows.values("pickup_datetime")
    first, end = microseconds(month - GRACE), microseconds(next_month(month) + GRACE)
    return rows.where("pickup_datetime", (pickup < first) | (pickup >= end))


def _has_times(rows: Rows) -> bool:
    return rows.has("pickup_datetime") and rows.has("dropoff_datetime")


def _where_timed(rows: Rows, found: Mask) -> Mask:
    return rows.where("pickup_datetime", rows.where("dropoff_datetime", found))


def _ends_before_it_begins(rows: Rows, month: date) -> Mask | None:
    if not _has_times(rows):
        return None
    pickup, dropoff = rows.values("pickup_datetime"), rows.values("dropoff_datetime")
    found = _where_timed(rows, dropoff < pickup)
    # Few rows run backward on the clock; of those, some do not in truth.
    if not found.any():
        return found
    for excuse in (_turned_back(rows, month), _minute_is_the_month(rows, month)):
        if excuse is not None:
            found = found & ~excuse
    return found


def _turned_back(rows: Rows, month: date) -> Mask | None:
    if month.month not in MONTHS_OF_REPEATED_HOUR or not _has_times(rows):
        return None
    found = runs_through_repeated_hour(rows.values("pickup_datetime"), rows.values("dropoff_datetime"), month.year)
    return None if found is None else _where_timed(rows, found)


def _minute_is_the_month(rows: Rows, _month: date) -> Mask | None:
    if not (rows.has("vendor_id") and _has_times(rows)):
        return None
    vendor = rows.values("vendor_id") == VENDOR_OF_MONTHS_AS_MINUTES
    if not vendor.any():
        return None
    candidates = np.flatnonzero(_where_timed(rows, rows.where("vendor_id", vendor)))
    found = np.zeros(len(rows), np.bool_)
    pickup, dropoff = (rows.values(name)[candidates] for name in ("pickup_datetime", "dropoff_datetime"))
    forward = dropoff // HOUR >= pickup // HOUR
    found[candidates] = forward & _has_month_as_minute(pickup) & _has_month_as_minute(dropoff)
    return found


def _has_month_as_minute(times: NDArray[np.int64]) -> Mask:
    months = times.view("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    same: Mask = times // (HOUR // 60) % 60 == months
    return same


def _no_passengers(rows: Rows, _month: date) -> Mask | None:
    if not rows.has("passenger_count"):
        return None
    return rows.where("passenger_count", rows.values("passenger_count") == 0)


def _unknown_zone(rows: Rows, _month: date) -> Mask | None:
    found = None
    for name in ("pickup_location_id", "dropoff_location_id"):
        if rows.has(name):
            zone = rows.values(name)
            unknown = rows.where(name, (zone < ZONES.start) | (zone >= ZONES.stop))
            found = unknown if found is None else found | unknown
    return found


def _never(_rows: Rows, _month: date) -> None:
    return None


_UNREADABLE = Rule(
    UNREADABLE,
    "The line has another number of fields than the file, or a value that cannot be read as its column's type; the "
    "cause is stored with the row.",
    _never,
)
_OUTSIDE = Rule(
    "pickup_outside_month",
    f"The pickup lies more than {GRACE.days} day before or after the file's month.",
    _outside_month,
)
_BACKWARDS = Rule(
    "dropoff_before_pickup",
    "The trip ends before it begins, and neither `end_of_daylight_saving` nor `minute_is_the_month` explains it.",
    _ends_before_it_begins,
)
_ZONE = Rule("unknown_zone", f"A zone id is not one of {ZONES.start} to {ZONES.stop - 1}.", _unknown_zone)
_DUPLICATE = Rule(
    DUPLICATE,
    "Every value equals that of a row of the same file already kept. A row without a dropoff time is not compared: "
    "in the three columns that for-hire files had until 2016, equal rows are different trips.",
    _never,
)

TIMED_RULES = (
    _UNREADABLE,
    Rule("missing_times", "The pickup or the dropoff time is empty.", _missing("pickup_datetime", "dropoff_datetime")),
    _OUTSIDE,
    _BACKWARDS,
    _ZONE,
    _DUPLICATE,
)
METERED_RULES = (
    *TIMED_RULES[:4],
    Rule("no_passengers", "The passenger count is 0; an unknown count stays.", _no_passengers),
    *TIMED_RULES[4:],
)
PICKUP_ONLY_RULES = (
    _UNREADABLE,
    Rule("missing_times", "The pickup time is empty; an unreported dropoff stays.", _missing("pickup_datetime")),
    *TIMED_RULES[2:],
)


def _far(name: str) -> Callable[[Rows, date], Mask | None]:
    def find(rows: Rows, _month: date) -> Mask | None:
        return rows.where(name, rows.values(name) > MAX_MILES) if rows.has(name) else None

    return find


def _fast(name: str) -> Callable[[Rows, date], Mask | None]:
    def find(rows: Rows, month: date) -> Mask | None:
        if not (rows.has(name) and _has_times(rows)):
            return None
        lasted = trip_durations(rows, month)
        found = (lasted > 0) & (rows.values(name) > lasted / (HOUR / MAX_MILES_PER_HOUR))
        found = rows.where(name, _where_timed(rows, found))
        # Such times are known to the hour only.
        coarse = _minute_is_the_month(rows, month) if found.any() else None
        return found if coarse is None else found & ~coarse

    return find


def trip_durations(rows: Rows, month: date) -> NDArray[np.int64]:
    """Return how long the trips really lasted, in microseconds; arbitrary where a time is null."""
    pickup, dropoff = rows.values("pickup_datetime"), rows.values("dropoff_datetime")
    if month.month not in MONTHS_OF_CLOCK_CHANGES:
        lasted: NDArray[np.int64] = dropoff - pickup
        return lasted
    reported = None
    if rows.has("trip_time"):
        nulls = rows.nulls("trip_time")
        reported = rows.values("trip_time") if nulls is None else np.where(nulls, -1, rows.values("trip_time"))
    return durations(pickup, dropoff, month.year, reported)


def _clock_reset(rows: Rows, month: date) -> Mask | None:
    if month in (date(2008, 12, 1), date(2009, 1, 1)) or not rows.has("pickup_datetime"):
        return None
    pickup = rows.values("pickup_datetime")
    found = (pickup >= microseconds(date(2008, 12, 31))) & (pickup < microseconds(date(2009, 1, 2)))
    return rows.where("pickup_datetime", found)


SHADOW = "shadow_duplicates"
_CLOCK = Rule("clock_resets", "Pickup on 2008-12-31 or 2009-01-01, where a meter's clock starts again.", _clock_reset)
_TURNED_BACK = Rule(
    "end_of_daylight_saving",
    "Ends before it begins on the clock only, since the hour from 1 to 2 came twice in that night; kept, and its "
    "duration is the real one.",
    _turned_back,
)
_MINUTE = Rule(
    "minute_is_the_month",
    "Of vendor 6, with the month where the minute belongs in both times, which are so known to the hour only; kept "
    "while the hours do not run backward.",
    _minute_is_the_month,
)
METERED_FLAGS = (
    Rule("implausible_distance", f"Longer than {MAX_MILES} miles.", _far("trip_distance")),
    Rule("implausible_speed", f"Faster than {MAX_MILES_PER_HOUR} miles an hour on average.", _fast("trip_distance")),
    _CLOCK,
    Rule(SHADOW, "Among the kept rows: same times, zones and total as another, but the meter's fields empty.", _never),
    _TURNED_BACK,
    _MINUTE,
)
FHVHV_FLAGS = (
    Rule("implausible_distance", f"Longer than {MAX_MILES} miles.", _far("trip_miles")),
    Rule("implausible_speed", f"Faster than {MAX_MILES_PER_HOUR} miles an hour on average.", _fast("trip_miles")),
    _CLOCK,
    _TURNED_BACK,
)
FHV_FLAGS = (_CLOCK, _TURNED_BACK)
