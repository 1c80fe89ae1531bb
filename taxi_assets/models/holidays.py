"""Federal holidays, on the days on which they are celebrated."""

from datetime import date, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt

from taxi_assets.models.places import Ints

MONDAY, THURSDAY = 0, 3
JUNETEENTH_SINCE = 2021


def is_holiday(days: Ints) -> npt.NDArray[np.bool_]:
    """Return which of the days, counted from 1970-01-01, are holidays."""
    if not len(days):
        return np.zeros(0, bool)
    years = [int(str(np.datetime64(int(day), "D"))[:4]) for day in (days.min(), days.max())]
    found = [holiday for year in range(years[0], years[1] + 1) for holiday in holidays(year)]
    return np.isin(days, np.array(found, "datetime64[D]").astype(np.int64))


@cache
def holidays(year: int) -> tuple[date, ...]:
    """Return the holidays of a year. One on a Sunday is celebrated on Monday, one on a Saturday stays there."""
    fixed = [date(year, 1, 1), date(year, 7, 4), date(year, 11, 11), date(year, 12, 25)]
    if year >= JUNETEENTH_SINCE:
        fixed.append(date(year, 6, 19))
    moved = [
        _nth(year, 1, MONDAY, 3),
        _nth(year, 2, MONDAY, 3),
        _nth(year, 6, MONDAY, 1) - timedelta(days=7),
        _nth(year, 9, MONDAY, 1),
        _nth(year, 10, MONDAY, 2),
        _nth(year, 11, THURSDAY, 4),
    ]
    return tuple(sorted([day + timedelta(days=day.weekday() == 6) for day in fixed] + moved))


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (n - 1))
