"""What all the sample source's trips have in common: random draws, times, the faults that any trip can have.

Everything is a whole number: cents, hundredths or thousandths of a mile, millionths of a degree, seconds since 1970 of
the New York wall clock. Random values are drawn from tables that plain Python filled, so that another processor's
vector instructions cannot change a byte of a file. What is peculiar to taxis or for-hire cars does not belong here.
"""

import math
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import accumulate
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from taxi_assets.months import next_month

MIN_ROWS_FOR_DIRT = 1_000  # from here on a file has every kind of dirt at least once
UNKNOWN_ZONE, OUTSIDE_ZONE = 264, 265

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass
class Block:
    """Rows of one file: a whole number per row and field, and which of them are null."""

    values: dict[str, Ints]
    nulls: dict[str, Bools]
    csv_nulls: dict[str, Bools]  # empty in the CSV, filled in the Parquet

    def null_of(self, field: str, *, csv: bool) -> Bools | None:
        """Return the rows in which a field is null; None when it has a value in every row."""
        if csv and field in self.csv_nulls:
            return self.csv_nulls[field]
        return self.nulls.get(field)


# --- Random tables ---------------------------------------------------------------------------------------------------

_TABLE = 16_384


def pick(rng: np.random.Generator, table: Ints, count: int) -> Ints:
    """Draw `count` values of a table, each entry as likely as any other."""
    return table[rng.integers(0, len(table), count, dtype=np.int32)]


def chance(rng: np.random.Generator, share: float, count: int) -> Bools:
    """Return a mask that is true for that share of `count` rows, to a millionth."""
    return rng.integers(0, 1_000_000, count, dtype=np.int32) < round(share * 1_000_000)


def weighted(weights: dict[int, float]) -> Ints:
    """Return a table in which each key stands as often as its weight."""
    ends = [round(end / sum(weights.values()) * _TABLE) for end in accumulate(weights.values())]
    counts = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    return np.repeat(np.array(list(weights), dtype=np.int64), counts)


@lru_cache
def normal(scale: int) -> Ints:
    """Return a table of the normal distribution around 0."""
    return np.array([round(scale * z) for z in _quantiles()], dtype=np.int64)


@lru_cache
def lognormal(median: int, sigma: float) -> Ints:
    """Return a table of the log-normal distribution; `sigma` is that of the logarithm."""
    return np.array([round(median * math.exp(sigma * z)) for z in _quantiles()], dtype=np.int64)


@lru_cache
def _quantiles() -> list[float]:
    normal = NormalDist()
    return [normal.inv_cdf((k + 0.5) / _TABLE) for k in range(_TABLE)]


# --- Times -----------------------------------------------------------------------------------------------------------

_NIGHT_OWLS = (60, 42, 30, 21, 16, 14)
_WEEKDAY_HOURS = (26, 15, 9, 6, 6, 9, 21, 38, 48, 49, 48, 49, 52, 52, 54, 53, 48, 55, 64, 66, 62, 61, 57, 43)
_WEEKEND_HOURS = (*_NIGHT_OWLS, 12, 15, 23, 33, 42, 48, 52, 53, 54, 54, 53, 55, 58, 57, 52, 51, 53, 50)


def epoch(day: date) -> int:
    """Return midnight of a day in seconds since 1970."""
    return (day - date(1970, 1, 1)).days * 86_400


@lru_cache(maxsize=4)
def _hour_ends(month: date) -> npt.NDArray[np.float64]:
    """Return the cumulated share of the month's trips at the end of each of its hours."""
    weights: list[int] = []
    day = month
    while day < next_month(month):
        weights += _WEEKEND_HOURS if day.weekday() >= 5 else _WEEKDAY_HOURS
        day += timedelta(days=1)
    total = sum(weights)
    return np.array([0.0, *(end / total for end in accumulate(weights))])


def pickups(rng: np.random.Generator, month: date, progress: npt.NDArray[np.float64]) -> Ints:
    """Return rising times, shuffled within the half hour, for rows at `progress` (0 to 1) of the file."""
    ends = _hour_ends(month)
    hour = np.minimum(np.searchsorted(ends, progress, side="right") - 1, len(ends) - 2)
    within = (progress - ends[hour]) / (ends[hour + 1] - ends[hour])
    second = hour * 3600 + (within * 3600).astype(np.int64)
    second += rng.integers(-1800, 1801, len(progress))
    last = (len(ends) - 1) * 3600 - 1
    mirrored: Ints = np.where(second < 0, -second, np.where(second > last, 2 * last - second, second))
    return epoch(month) + mirrored


def progress_of(null_share: float, first: int, count: int, rows: int) -> tuple[npt.NDArray[np.float64], Bools]:
    """Return where each row stands in its part of the file, and whether that is the part with the null block."""
    metered = rows - math.ceil(rows * null_share)
    index = np.arange(first, first + count)
    in_null_block = index >= metered
    part = np.where(in_null_block, (index - metered + 0.5) / max(rows - metered, 1), (index + 0.5) / max(metered, 1))
    return part, in_null_block


# --- Dirt ------------------------------------------------------------------------------------------------------------

# Kind of dirt: its share of rows, and how many a file of 1,000 rows or more has at least.
DIRT = {
    "clock_reset": (0.00005, 2),
    "other_month": (0.00008, 1),
    "neighbour_day": (0.0004, 3),
    "ends_before_start": (0.00004, 1),
    "no_time": (0.002, 2),
    "unknown_zone": (0.008, 3),
    "outside_zone": (0.006, 2),
}


def dirty_rows(
    rng: np.random.Generator, kinds: dict[str, tuple[float, int]], usable: int, guaranteed: bool
) -> dict[str, Ints]:
    """Draw rows for each kind of dirt, all even and none twice, so that the row after each is free for a twin."""
    slots = rng.permutation(usable // 2) * 2
    chosen, start = {}, 0
    for kind, (share, least) in kinds.items():
        count = max(int(usable * share + rng.random()), least if guaranteed else 0)
        chosen[kind] = slots[start : start + count]
        start += count
    return chosen


def spoil_times(rng: np.random.Generator, month: date, dirt: dict[str, Ints], pickup: Ints, seconds: Ints) -> None:
    """Put the faults of `DIRT` that concern time into pickups and durations, in place."""
    start, end = epoch(month), epoch(next_month(month))
    # A meter that lost its clock shows 2009-01-01, or 2003-01-01 where that date would be plausible.
    reset = date(2009, 1, 1) if month.year > 2009 else date(2003, 1, 1)
    rows = dirt["clock_reset"]
    pickup[rows] = epoch(reset) + rng.integers(0, 3600, len(rows))
    rows = dirt["other_month"]
    away = rng.integers(2 * 86_400, 20 * 86_400, len(rows))
    pickup[rows] = np.where(rng.integers(0, 2, len(rows)) == 1, end + away, start - away)
    rows = dirt["neighbour_day"]
    away = rng.integers(1, 86_000, len(rows)) // rng.integers(1, 60, len(rows)) + 1
    pickup[rows] = np.where(rng.integers(0, 2, len(rows)) == 1, end + away, start - away)
    rows = dirt["ends_before_start"]
    seconds[rows] = -rng.integers(60, 7200, len(rows))
    seconds[dirt["no_time"]] = 0


def spoil_zones(rng: np.random.Generator, dirt: dict[str, Ints], pu: Ints, do: Ints) -> None:
    """Put the zones for unknown (264) and outside the city (265) in, in place."""
    pu[dirt["unknown_zone"]] = do[dirt["unknown_zone"]] = UNKNOWN_ZONE
    rows = dirt["outside_zone"]
    do[rows] = OUTSIDE_ZONE
    pu[rows[rng.integers(0, 4, len(rows)) == 0]] = OUTSIDE_ZONE
