"""The floors: what a table of medians would answer. A model that is not better has no reason to exist."""

from dataclasses import dataclass

import numpy as np

from taxi_assets.models.history import lookup
from taxi_assets.models.places import Floats, Ints, Places
from taxi_assets.models.trips import Questions, Trips


@dataclass(frozen=True)
class Medians:
    """A cascade: the median of pair, hour and weekend; where there is none, of the pair; of the boroughs; of all."""

    levels: tuple[tuple[Ints, Floats], ...]
    overall: float

    @classmethod
    def of(cls, trips: Trips, places: Places) -> "Medians":
        """Return the medians of the trips."""
        return cls(
            tuple(_medians(keys, trips.minutes) for keys in _keys(trips.questions, places)),
            float(np.median(trips.minutes)),
        )

    def estimate(self, questions: Questions, places: Places) -> Floats:
        """Return the minutes that the cascade answers."""
        found = np.full(len(questions), self.overall)
        for (keys, values), wanted in reversed(list(zip(self.levels, _keys(questions, places), strict=True))):
            at, there = lookup(keys, wanted)
            found[there] = values[at[there]]
        return found


@dataclass(frozen=True)
class LastYear:
    """The medians of the same month last year, scaled by how the level of a recent month has changed since."""

    medians: Medians
    scale: float

    @classmethod
    def of(cls, last_year: Trips, recent: Trips, recent_last_year: Trips, places: Places) -> "LastYear":
        """Return the floor from last year's month, the newest month there is, and that month a year before."""
        scale = float(np.median(recent.minutes) / np.median(recent_last_year.minutes))
        return cls(Medians.of(last_year, places), scale)

    def estimate(self, questions: Questions, places: Places) -> Floats:
        """Return the scaled minutes."""
        return self.medians.estimate(questions, places) * self.scale


def _keys(questions: Questions, places: Places) -> tuple[Ints, Ints, Ints]:
    hour = questions.hour.astype(np.int64) * 2 + (questions.weekday >= 5)
    boroughs = places.borough[questions.pickup] * 10 + places.borough[questions.dropoff]
    return questions.pair * 100 + hour, questions.pair, boroughs


def _medians(keys: Ints, minutes: Floats) -> tuple[Ints, Floats]:
    found, rows = np.unique(keys, return_inverse=True)
    values = minutes[np.lexsort((minutes, rows))]
    ends = np.cumsum(np.bincount(rows, minlength=len(found)))
    starts = np.concatenate([[0], ends[:-1]])
    middle = starts + ends
    return found, (values[(middle - 1) // 2] + values[middle // 2]) / 2
