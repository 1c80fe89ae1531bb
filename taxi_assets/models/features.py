"""The features, each with what it is made from. All of it is known when one asks, before the trip."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from taxi_assets.errors import TaxiError
from taxi_assets.models import history
from taxi_assets.models.history import History
from taxi_assets.models.holidays import is_holiday
from taxi_assets.models.places import Floats, Ints, Places
from taxi_assets.models.trips import Questions

# Raise it if the features of a trip change: a saved model then no longer fits them.
FEATURE_VERSION = "1"
EARLIER_TRIPS = "trips of the months fitted on, other days than the row's own"
KNOWN_BEFOREHAND = frozenset({"pickup_location_id", "dropoff_location_id", "pickup_datetime", EARLIER_TRIPS})
_PLACES = ("pickup_location_id", "dropoff_location_id")
_TIME = ("pickup_datetime",)


@dataclass(frozen=True)
class Feature:
    """A feature, and the columns or tables that it is made from."""

    name: str
    made_from: tuple[str, ...]
    description: str


FEATURES = (
    Feature("pickup_latitude", _PLACES[:1], "Latitude of the pickup zone's centroid."),
    Feature("pickup_longitude", _PLACES[:1], "Longitude of the pickup zone's centroid."),
    Feature("dropoff_latitude", _PLACES[1:], "Latitude of the dropoff zone's centroid."),
    Feature("dropoff_longitude", _PLACES[1:], "Longitude of the dropoff zone's centroid."),
    Feature("pickup_borough", _PLACES[:1], "Borough of the pickup zone."),
    Feature("dropoff_borough", _PLACES[1:], "Borough of the dropoff zone."),
    Feature("miles", _PLACES, "Distance of the two centroids as the crow flies."),
    Feature("miles_east", _PLACES, "How far east the dropoff is."),
    Feature("miles_north", _PLACES, "How far north the dropoff is."),
    Feature("pickup_zone", _PLACES[:1], "Id of the pickup zone."),
    Feature("dropoff_zone", _PLACES[1:], "Id of the dropoff zone."),
    Feature("hour", _TIME, "Hours since midnight, with fractions."),
    Feature("weekday", _TIME, "0 for Monday to 6 for Sunday."),
    Feature("holiday", _TIME, "1 on a federal holiday."),
    Feature("month_age", _TIME, "Months before the newest month fitted on; 0 when one asks."),
    *(Feature(name, (*_PLACES, *_TIME, EARLIER_TRIPS), "History of the pair, out of fold.") for name in history.NAMES),
)


def audit(features: Sequence[Feature]) -> None:
    """Check that every feature is known beforehand.

    Raises:
        TaxiError: A feature is made from something that is only known after the trip, or while it lasts.
    """
    for feature in features:
        if late := sorted(set(feature.made_from) - KNOWN_BEFOREHAND):
            raise TaxiError(
                f"The feature {feature.name} is made from {', '.join(late)}, which is not known before the trip; "
                "remove it, or no score of the model means anything."
            )


def matrix(questions: Questions, month_age: Ints, pair_history: Floats, places: Places) -> Floats:
    """Return one row for each question and one column for each of `FEATURES`."""
    pickup, dropoff = questions.pickup, questions.dropoff
    east, north = places.miles(pickup, dropoff)
    return np.column_stack(
        [
            places.latitude[pickup],
            places.longitude[pickup],
            places.latitude[dropoff],
            places.longitude[dropoff],
            places.borough[pickup],
            places.borough[dropoff],
            np.hypot(east, north),
            east,
            north,
            pickup,
            dropoff,
            questions.hour,
            questions.weekday,
            is_holiday(questions.day),
            month_age,
            pair_history,
        ]
    )


def asked(questions: Questions, pair_history: History, places: Places) -> Floats:
    """Return the matrix of questions about a month to come."""
    newest = np.zeros(len(questions), np.int64)
    return matrix(questions, newest, pair_history.features(questions, places), places)
