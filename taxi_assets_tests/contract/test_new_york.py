"""New York's clock against the time zone database, asked one time after the other."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taxi_assets.contract.new_york import HOUR, NEW_YORK, durations, repeated_hour, runs_through_repeated_hour
from taxi_assets.contract.new_york import to_wall_clock as wall_clock

EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
# Both nights of the change of 2025.
NIGHTS = st.sampled_from([datetime(2025, 3, 9, tzinfo=UTC), datetime(2025, 11, 2, tzinfo=UTC)])


def micros(*times: datetime) -> np.ndarray:
    return np.array([(time - EPOCH) // MICROSECOND for time in times], np.int64)


def shown(instant: datetime) -> datetime:
    return instant.astimezone(NEW_YORK).replace(tzinfo=None)


@given(st.datetimes(datetime(2001, 1, 1), datetime(2098, 1, 1)))
def test_instants_are_shown_as_the_time_zone_database_says(instant: datetime) -> None:
    assert wall_clock(micros(instant)).tolist() == micros(shown(instant.replace(tzinfo=UTC))).tolist()


@given(NIGHTS, st.integers(0, 24 * 60), st.integers(0, 300))
def test_a_reported_duration_decides_in_the_nights_of_the_change(night: datetime, begin: int, minutes: int) -> None:
    start = night + timedelta(minutes=begin)
    end = start + timedelta(minutes=minutes)
    pickup, dropoff = micros(shown(start)), micros(shown(end))
    found = durations(pickup, dropoff, 2025, np.array([minutes * 60]))
    assert found.tolist() == [minutes * 60_000_000]


@pytest.mark.parametrize(
    ("pickup", "dropoff", "minutes"),
    [
        (datetime(2025, 11, 2, 1, 58), datetime(2025, 11, 2, 1, 9), 11),  # DRIFT.md has such trips
        (datetime(2025, 11, 2, 0, 50), datetime(2025, 11, 2, 2, 10), 140),
        (datetime(2025, 11, 2, 1, 10), datetime(2025, 11, 2, 1, 30), 20),
        (datetime(2025, 3, 9, 1, 50), datetime(2025, 3, 9, 3, 10), 20),
        (datetime(2025, 7, 1, 1, 50), datetime(2025, 7, 1, 3, 10), 80),
        (datetime(2025, 7, 1, 3, 10), datetime(2025, 7, 1, 1, 50), -80),
    ],
)
def test_the_clock_alone_shows_the_shorter_of_two_durations(pickup: datetime, dropoff: datetime, minutes: int) -> None:
    assert durations(micros(pickup), micros(dropoff), 2025).tolist() == [minutes * 60_000_000]


def test_only_trips_within_the_repeated_hour_may_run_backward() -> None:
    pickups = micros(*(datetime(2025, 11, day, hour, 58) for day, hour in ((2, 1), (2, 2), (3, 1))))
    assert runs_through_repeated_hour(pickups, pickups - HOUR // 2, 2025).tolist() == [True, False, False]


def test_years_that_are_not_known_have_no_such_hour() -> None:
    assert repeated_hour(2025) == tuple(micros(datetime(2025, 11, 2, 1), datetime(2025, 11, 2, 2)))
    assert repeated_hour(1999) is None
    assert runs_through_repeated_hour(micros(EPOCH), micros(EPOCH), 1999) is None
