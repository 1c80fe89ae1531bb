"""Made-up months of trips whose durations follow from zones and hour, for tests of the model."""

from datetime import date

import numpy as np
import pyarrow as pa

from taxi_assets.models.trips import COLUMNS, Trips, trips_of

ZONES = (7, 42, 74, 75, 82, 95, 97, 132, 138, 166, 181, 230)


def month_table(month: date, rows: int = 3000, *, noise: float = 2.0) -> pa.Table:
    """Return kept rows of a month in the columns that the model reads."""
    random = np.random.default_rng([month.year, month.month, 7])
    pickup, dropoff = random.choice(ZONES, rows), random.choice(ZONES, rows)
    seconds = random.integers(0, 28 * 86_400, rows)
    hour = seconds % 86_400 // 3600
    minutes = 6 + np.abs(pickup - dropoff) / 10 + 5 * ((hour >= 15) & (hour < 19)) + random.gamma(2.0, noise, rows)
    start = np.datetime64(month, "s") + seconds
    return pa.table(
        [
            pa.array(start.astype("datetime64[us]")),
            pa.array((start + (minutes * 60).astype(np.int64)).astype("datetime64[us]")),
            pa.array(pickup, pa.int32()),
            pa.array(dropoff, pa.int32()),
        ],
        names=list(COLUMNS),
    )


def month_trips(month: date, rows: int = 3000, *, noise: float = 2.0) -> Trips:
    """Return the trips of `month_table`."""
    return trips_of(month_table(month, rows, noise=noise))
