"""Trips as the model sees them: what is known when one asks, and, apart from it, how long they took."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from taxi_assets.models.places import Floats, Ints

Times = npt.NDArray[np.datetime64]

# Trips of one month that a model reads at most: a bound of memory and time that no month's size moves.
MONTH_ROWS = 100_000
BATCH_ROWS = 1 << 16
SHORTEST, LONGEST = 1.0, 180.0
COLUMNS = ("pickup_datetime", "dropoff_datetime", "pickup_location_id", "dropoff_location_id")
# 264 is unknown and 265 outside the city.
LAST_PLACE = 263


@dataclass(frozen=True)
class Questions:
    """What is known before a trip: zones and the local wall time of the pickup. Features are made from nothing else."""

    pickup: Ints
    dropoff: Ints
    at: Times

    def __len__(self) -> int:
        return len(self.pickup)

    def take(self, rows: npt.NDArray) -> "Questions":
        """Return the questions of a mask or of row numbers."""
        return Questions(self.pickup[rows], self.dropoff[rows], self.at[rows])

    @property
    def pair(self) -> Ints:
        """One number for each pair of zones."""
        return self.pickup * 1000 + self.dropoff

    @property
    def day(self) -> Ints:
        """Days since 1970-01-01."""
        return self.at.astype("datetime64[D]").astype(np.int64)

    @property
    def weekday(self) -> Ints:
        """0 for Monday to 6 for Sunday."""
        return (self.day + 3) % 7

    @property
    def hour(self) -> Floats:
        """Hours since midnight, with fractions."""
        since_midnight = (self.at - self.at.astype("datetime64[D]")).astype("timedelta64[s]")
        return np.asarray(since_midnight.astype(np.int64) / 3600.0)


@dataclass(frozen=True)
class Trips:
    """Trips of one or more months with known zones, and their minutes."""

    questions: Questions
    minutes: Floats

    def __len__(self) -> int:
        return len(self.minutes)

    def take(self, rows: npt.NDArray) -> "Trips":
        """Return the trips of a mask or of row numbers."""
        return Trips(self.questions.take(rows), self.minutes[rows])

    def plausible(self) -> "Trips":
        """Return the trips of 1 to 180 minutes."""
        return self.take((self.minutes >= SHORTEST) & (self.minutes <= LONGEST))


def joined(parts: Sequence[Trips]) -> Trips:
    """Return the trips of several months, in their order."""
    return Trips(
        Questions(
            np.concatenate([part.questions.pickup for part in parts]),
            np.concatenate([part.questions.dropoff for part in parts]),
            np.concatenate([part.questions.at for part in parts]),
        ),
        np.concatenate([part.minutes for part in parts]),
    )


def read_sample(path: Path, month: date, rows: int = MONTH_ROWS) -> pa.Table:
    """Draw about `rows` of a month's kept rows evenly, in the columns that the model reads; all of a smaller month.

    The file is streamed in batches. The same file gives the same sample.
    """
    file = pq.ParquetFile(path)
    share = rows / max(file.metadata.num_rows, 1)
    random = np.random.default_rng([month.year, month.month])
    parts = []
    for batch in file.iter_batches(BATCH_ROWS, columns=list(COLUMNS)):
        if share < 1:
            batch = batch.filter(pa.array(random.random(batch.num_rows) < share))
        parts.append(batch)
    schema = pa.schema([file.schema_arrow.field(name) for name in COLUMNS])
    return pa.Table.from_batches([part.select(list(COLUMNS)) for part in parts], schema)


def trips_of(sample: pa.Table) -> Trips:
    """Return the trips of a sample that have both zones, a place at both, and a dropoff time.

    Rows are chosen by their zones alone, which are known beforehand; a trip without a dropoff has nothing to learn
    from or to score against.
    """
    pickup, dropoff = (_integers(sample.column(name)) for name in COLUMNS[2:])
    start, end = (sample.column(name).to_numpy().astype("datetime64[s]") for name in COLUMNS[:2])
    placed = (pickup >= 1) & (pickup <= LAST_PLACE) & (dropoff >= 1) & (dropoff <= LAST_PLACE) & ~np.isnat(end)
    minutes = (end[placed] - start[placed]).astype(np.int64) / 60.0
    return Trips(Questions(pickup[placed], dropoff[placed], start[placed]), minutes)


def _integers(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.fill_null(0).to_numpy(), np.int64)
