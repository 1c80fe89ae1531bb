"""How long trips of a pair took before: means that are shrunk from the city down to the pair at a part of the day.

Each level adds the mean of what the coarser level left over, weighted by n / (n + `strength`), so that a rare pair
stays near the mean of its distance. For the rows that a model is fitted on, history is formed out of fold: from other
days only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taxi_assets.models.places import Floats, Ints, Places
from taxi_assets.models.trips import Questions, Trips

# Hours at which morning, midday, afternoon, evening and night begin.
PARTS_OF_DAY = (6, 10, 15, 19, 23)
# Level and its strength, from coarse to fine.
LEVELS = (("boroughs", 20.0), ("distance", 10.0), ("pair", 6.0), ("pair_and_part", 8.0))
# Minutes above which a trip counts as this long, so that a meter left on moves no mean.
CAP = 90.0
FOLDS = 5
NAMES = (
    "pair_typical_minutes_log",
    "pair_and_part_typical_minutes_log",
    "pair_minutes",
    "pair_and_part_minutes",
    "pair_trips",
)


@dataclass(frozen=True)
class History:
    """Tables by level: sorted keys, and for the logarithm and the minutes what the level adds; trips by pair."""

    means: Floats
    keys: Mapping[str, Ints]
    added: Mapping[str, Floats]
    pair_trips: Ints

    @classmethod
    def of(cls, trips: Trips, places: Places) -> "History":
        """Return the history of the trips."""
        values = np.column_stack([np.log(trips.minutes), np.minimum(trips.minutes, CAP)])
        means = values.mean(axis=0)
        left = values - means
        keys, added, pair_trips = {}, {}, np.zeros(0, np.int64)
        for (name, strength), wanted in zip(LEVELS, _keys(trips.questions, places), strict=True):
            keys[name], rows, counts = np.unique(wanted, return_inverse=True, return_counts=True)
            sums = np.column_stack([np.bincount(rows, left[:, i], len(counts)) for i in range(2)])
            added[name] = sums / (counts + strength)[:, None]
            left = left - added[name][rows]
            if name == "pair":
                pair_trips = counts.astype(np.int64)
        return cls(means, keys, added, pair_trips)

    def features(self, questions: Questions, places: Places) -> Floats:
        """Return the columns `NAMES`."""
        value = np.tile(self.means, (len(questions), 1))
        columns = []
        for (name, _), wanted in zip(LEVELS, _keys(questions, places), strict=True):
            at, found = lookup(self.keys[name], wanted)
            value = value + np.where(found[:, None], self.added[name][at], 0.0)
            if name.startswith("pair"):
                columns.append(value)
        pair, part = columns
        return np.column_stack([pair[:, 0], part[:, 0], pair[:, 1], part[:, 1], np.minimum(self.trips(questions), 500)])

    def trips(self, questions: Questions) -> Ints:
        """Return how many trips of each pair the history holds."""
        at, found = lookup(self.keys["pair"], questions.pair)
        return np.where(found, self.pair_trips[at], 0)


def out_of_fold(trips: Trips, places: Places) -> Floats:
    """Return the columns `NAMES` for each trip, formed from the trips of other days than its own fold's."""
    # A multiplicative hash: neighbouring days, which share traffic, fall into different folds.
    fold = (trips.questions.day * 2_654_435_761 >> 7) % FOLDS
    found = np.empty((len(trips), len(NAMES)))
    for number in range(FOLDS):
        mine = fold == number
        if not mine.any():
            continue
        history = History.of(trips.take(~mine), places)
        found[mine] = history.features(trips.questions.take(mine), places)
    return found


def _keys(questions: Questions, places: Places) -> tuple[Ints, Ints, Ints, Ints]:
    boroughs = places.borough[questions.pickup] * 10 + places.borough[questions.dropoff]
    east, north = places.miles(questions.pickup, questions.dropoff)
    half_miles = np.nan_to_num(np.minimum(np.hypot(east, north) * 2, 60.0), nan=99.0).astype(np.int64)
    part = np.digitize(questions.hour, PARTS_OF_DAY) % len(PARTS_OF_DAY) + len(PARTS_OF_DAY) * (questions.weekday >= 5)
    return boroughs, boroughs * 100 + half_miles, questions.pair, questions.pair * 10 + part


def lookup(keys: Ints, wanted: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return the positions of the wanted keys, and which of them are there."""
    at = np.clip(np.searchsorted(keys, wanted), 0, len(keys) - 1)
    return at, keys[at] == wanted
