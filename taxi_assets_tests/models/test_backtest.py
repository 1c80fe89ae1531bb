"""Models of made-up months, and the floors."""

from datetime import date

import numpy as np
import pytest

from taxi_assets.errors import ServiceError
from taxi_assets.models.backtest import train
from taxi_assets.models.floors import LastYear, Medians
from taxi_assets.models.places import known_places
from taxi_assets.models.trips import Questions, Trips
from taxi_assets_tests.support.trips import month_trips

PLACES = known_places()


def test_a_model_is_the_same_each_time_and_its_span_holds_the_estimate():
    months = {date(2023, number, 1): month_trips(date(2023, number, 1)) for number in range(1, 5)}
    questions = months[date(2023, 4, 1)].questions
    one, other = (train(months, date(2023, 4, 1), PLACES).answer(questions, PLACES) for _ in range(2))
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))
    estimate, low, high = one
    assert (low <= estimate).all()
    assert (estimate <= high).all()
    assert (low >= 1).all()


def test_a_month_that_is_not_there_yet_is_scored_on_the_one_before():
    months = {date(2023, number, 1): month_trips(date(2023, number, 1)) for number in range(1, 5)}
    found = train(months, date(2023, 5, 1), PLACES)
    assert found.scored_on == date(2023, 4, 1)
    assert found.fitted_on[-1] == date(2023, 4, 1)
    assert found.leads[0].fitted_on[-1] == date(2023, 3, 1)


def test_without_the_month_before_there_is_no_model():
    with pytest.raises(ServiceError, match="needs at least 2023-04"):
        train({date(2023, 5, 1): month_trips(date(2023, 5, 1))}, date(2023, 5, 1), PLACES)


def test_the_medians_fall_back_from_pair_and_hour_to_all():
    at = np.array(["2023-05-01T08:10", "2023-05-01T08:20", "2023-05-01T09:00", "2023-05-01T08:00"], "datetime64[s]")
    pickup, dropoff = np.array([7, 7, 7, 42]), np.array([82, 82, 82, 74])
    medians = Medians.of(Trips(Questions(pickup, dropoff, at), np.array([10.0, 20.0, 60.0, 5.0])), PLACES)
    asked = Questions(
        np.array([7, 7, 82, 42, 1]),
        np.array([82, 82, 7, 42, 1]),
        np.array(["2023-05-02T08:59", "2023-05-02T10:00", *["2023-05-02T08:00"] * 3], "datetime64[s]"),
    )
    # Pair and hour; pair; Queens to Queens; Manhattan to Manhattan; all.
    assert medians.estimate(asked, PLACES).tolist() == [15.0, 20.0, 20.0, 5.0, 15.0]


def test_last_year_is_scaled_by_the_recent_level():
    may, april = month_trips(date(2022, 5, 1)), month_trips(date(2022, 4, 1))
    now = Trips(april.questions, april.minutes * 1.5)
    floor = LastYear.of(may, now, april, PLACES)
    assert floor.scale == pytest.approx(1.5)
    expected = Medians.of(may, PLACES).estimate(may.questions, PLACES) * 1.5
    assert np.allclose(floor.estimate(may.questions, PLACES), expected)


def test_the_floor_of_last_year_is_scored_where_its_months_are_there():
    wanted = [date(2022, 3, 1), date(2022, 4, 1), *(date(2023, number, 1) for number in (2, 3, 4))]
    found = train({month: month_trips(month) for month in wanted}, date(2023, 4, 1), PLACES)
    assert set(found.leads[0].floors) == {"medians", "last_year"}
    assert set(found.leads[1].floors) == {"medians"}
