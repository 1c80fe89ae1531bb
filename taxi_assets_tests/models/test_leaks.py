"""Nothing that is only known after a trip reaches its estimate."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from taxi_assets.errors import TaxiError
from taxi_assets.models import fit as fit_module
from taxi_assets.models.backtest import train
from taxi_assets.models.features import FEATURES, Feature, audit, matrix
from taxi_assets.models.fit import fit
from taxi_assets.models.history import out_of_fold
from taxi_assets.models.places import known_places
from taxi_assets.models.trips import COLUMNS, Trips, trips_of
from taxi_assets_tests.support.trips import month_table, month_trips

PLACES = known_places()
MONTHS = [date(2023, number, 1) for number in range(1, 6)]
MAY = date(2023, 5, 1)
AFTER_THE_TRIP = (
    "dropoff_datetime",
    "trip_distance",
    "fare_amount",
    "total_amount",
    "tip_amount",
    "tolls_amount",
    "payment_type",
    "rate_code",
    "congestion_surcharge",
    "passenger_count",
)


@pytest.mark.parametrize("column", AFTER_THE_TRIP)
def test_a_feature_that_is_not_known_beforehand_stops_the_fit(monkeypatch: pytest.MonkeyPatch, column: str):
    leaking = (*FEATURES, Feature("leak", ("pickup_datetime", column), ""))
    with pytest.raises(TaxiError, match=f"{column}, which is not known before the trip"):
        audit(leaking)
    monkeypatch.setattr(fit_module, "FEATURES", leaking)
    with pytest.raises(TaxiError, match="leak"):
        fit([month_trips(MAY, 300)], PLACES)


def test_each_column_of_the_matrix_is_an_audited_feature():
    trips = month_trips(MAY, 300)
    ages = np.zeros(len(trips), np.int64)
    assert matrix(trips.questions, ages, out_of_fold(trips, PLACES), PLACES).shape == (300, len(FEATURES))


def test_no_other_column_is_read():
    assert set(COLUMNS) - {"dropoff_datetime"} == {"pickup_datetime", "pickup_location_id", "dropoff_location_id"}


def test_the_history_of_a_row_does_not_hold_the_row_itself_or_its_day():
    trips = month_trips(MAY)
    before = out_of_fold(trips, PLACES)
    day = trips.questions.day == trips.questions.day[0]
    changed = Trips(trips.questions, np.where(day, 170.0, trips.minutes))
    after = out_of_fold(changed, PLACES)
    assert np.array_equal(before[day], after[day])
    assert not np.array_equal(before[~day], after[~day])


def test_the_month_that_is_scored_changes_neither_the_model_nor_what_is_chosen():
    months = {month: month_trips(month) for month in MONTHS}
    target = months[MAY]
    shuffled = Trips(target.questions, np.random.default_rng(1).permutation(target.minutes))
    one, other = train(months, MAY, PLACES), train(months | {MAY: shuffled}, MAY, PLACES)
    assert one.tuning == other.tuning
    for mine, theirs in zip(one.answer(target.questions, PLACES), other.answer(target.questions, PLACES), strict=True):
        assert np.array_equal(mine, theirs)
    assert one.leads[0].model.mae < other.leads[0].model.mae


def test_months_after_the_scored_one_change_nothing():
    months = {month: month_trips(month) for month in MONTHS}
    later = months | {date(2023, 6, 1): month_trips(date(2023, 6, 1))}
    assert train(months, MAY, PLACES).leads[0].model == train(later, MAY, PLACES).leads[0].model


def test_a_longer_lead_does_not_see_the_months_between():
    months = {month: month_trips(month) for month in MONTHS}
    april = date(2023, 4, 1)
    spoilt = months | {april: replace(months[april], minutes=months[april].minutes * 3)}
    one, other = train(months, MAY, PLACES), train(spoilt, MAY, PLACES)
    assert [lead.fitted_on[-1].month for lead in one.leads] == [4, 3, 2]
    assert one.leads[0].model != other.leads[0].model
    assert [lead.model for lead in one.leads[1:]] == [lead.model for lead in other.leads[1:]]


def test_rows_are_chosen_by_their_zones_alone_until_the_stated_minutes():
    table = month_table(MAY, 100)
    long = table.set_column(1, "dropoff_datetime", pa.array(np.asarray(table[0]) + np.timedelta64(23, "h")))
    assert len(trips_of(long)) == len(trips_of(table)) == 100
    unknown = table.set_column(3, "dropoff_location_id", pa.array([264, 265, None, 1] * 25, pa.int32()))
    assert len(trips_of(unknown)) == 25
