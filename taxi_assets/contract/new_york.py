"""New York's clock: instants to wall-clock times, and real durations across the two nights a year that it is changed.

Trips have wall-clock times. In November the hour from 01:00 to 02:00 comes twice, in March the hour from 02:00 to
03:00 does not come at all. Pure: NumPy in, NumPy out; all times are microseconds since 1970 as in Arrow's
timestamp[us].
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]
Mask = NDArray[np.bool_]

NEW_YORK = ZoneInfo("America/New_York")
HOUR = 3_600_000_000
# Trips begin in 2009. What lies outside these years is rejected anyway and is read as standard time.
YEARS = range(2000, 2100)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STANDARD_HOURS = -5


class ClockChange(NamedTuple):
    """A change of the clock: the instant, and the hours that New York's clock differs from UTC from then on."""

    instant: int
    hours: int


@cache
def clock_changes() -> tuple[ClockChange, ...]:
    """Return the changes of the clock in `YEARS`, in order."""
    changes, day = [], datetime(YEARS.start, 1, 1, tzinfo=UTC)
    while day.year < YEARS.stop:
        if _hours_at(day) != _hours_at(day + timedelta(days=7)):
            at = next(t for t in (day + timedelta(hours=h) for h in range(170)) if _hours_at(t) != _hours_at(day))
            changes.append(ClockChange((at - _EPOCH) // timedelta(microseconds=1), _hours_at(at)))
        day += timedelta(days=7)
    return tuple(changes)


def _hours_at(instant: datetime) -> int:
    offset = instant.astimezone(NEW_YORK).utcoffset()
    assert offset is not None
    return offset // timedelta(hours=1)


def to_wall_clock(instants: Times) -> Times:
    """Return what New York's clocks showed at the instants."""
    changes = clock_changes()
    hours = np.array([_STANDARD_HOURS, *(change.hours for change in changes)], np.int64)
    which = np.searchsorted(np.array([change.instant for change in changes]), instants, side="right")
    shown: Times = instants + hours[which] * HOUR
    return shown


@cache
def _night(year: int, hours: int) -> int | None:
    """Return the wall-clock time, by the clock before the change, at which the year's change to `hours` happens."""
    for change in clock_changes():
        if change.hours == hours and (_EPOCH + timedelta(microseconds=change.instant)).year == year:
            before = _STANDARD_HOURS if hours != _STANDARD_HOURS else _STANDARD_HOURS + 1
            return change.instant + before * HOUR
    return None


def repeated_hour(year: int) -> tuple[int, int] | None:
    """Return begin and end, on the clock, of the hour that comes twice in that year; None outside `YEARS`."""
    end = _night(year, _STANDARD_HOURS)
    return None if end is None else (end - HOUR, end)


def runs_through_repeated_hour(pickup: Times, dropoff: Times, year: int) -> Mask | None:
    """Mark trips that run backward on the clock only because the hour that comes twice turned it back."""
    hour = repeated_hour(year)
    if hour is None:
        return None
    begin, end = hour
    return (dropoff < pickup) & (pickup >= begin) & (pickup < end) & (dropoff >= begin) & (dropoff < end)


def durations(pickup: Times, dropoff: Times, year: int, reported: NDArray[Any] | None = None) -> Times:
    """Return how long trips really lasted, in microseconds.

    Args:
        pickup: When they began, on the clock.
        dropoff: When they ended, on the clock.
        year: The year whose changes of the clock are taken into account.
        reported: Their durations in seconds as the file has them, below 0 where it has none. It decides for trips that
            begin or end in the hour that comes twice, of which the clock alone does not show which one it was;
            without it they are the shorter ones.
    """
    lasted = dropoff - pickup
    spring, autumn = _night(year, _STANDARD_HOURS + 1), repeated_hour(year)
    if spring is None or autumn is None:
        return lasted
    begin, end = autumn
    lasted = np.where((pickup < spring) & (dropoff >= spring + HOUR), lasted - HOUR, lasted)
    in_hour = ((pickup >= begin) & (pickup < end)) | ((dropoff >= begin) & (dropoff < end))
    longer = (pickup < begin) & (dropoff >= end)
    longer |= in_hour & (lasted < 0) & (lasted >= -HOUR)
    if reported is not None:
        seconds = reported.astype(np.int64) * 1_000_000
        longer |= in_hour & (seconds >= 0) & (np.abs(lasted + HOUR - seconds) < np.abs(lasted - seconds))
    return np.where(longer, lasted + HOUR, lasted)
