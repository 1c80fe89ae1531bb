"""Fit, choose and score the model of a month, from samples of the months before it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

import numpy as np

from taxi_assets.errors import ServiceError
from taxi_assets.models.fit import Fitted, Tuning, answer, fit, tune
from taxi_assets.models.floors import LastYear, Medians
from taxi_assets.models.places import Floats, Places
from taxi_assets.models.scores import Scores, gain, score, slices
from taxi_assets.models.trips import Questions, Trips, joined
from taxi_assets.months import month_text, months_before

FIT_MONTHS = 6
LEADS = (1, 2, 3)
YEAR = 12
# Months before the model's own that are read: six at the longest lead and one more for its choice, and last year's.
OFFSETS = tuple(range(max(LEADS) + FIT_MONTHS + 1)) + tuple(range(YEAR, YEAR + max(LEADS) + 2))
Span = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class LeadScores:
    """Scores of a model whose newest month is `lead` months before the month that is scored."""

    lead: int
    fitted_on: tuple[date, ...]
    model: Scores
    floors: Mapping[str, Scores]
    every_duration: Scores
    slices: Mapping[str, Mapping[str, Scores]]

    @property
    def gain(self) -> float:
        """Share by which the MAE is below the stronger floor's."""
        return gain(self.model, self.floors)


@dataclass(frozen=True)
class DurationModel:
    """A model ready to answer, and how well models made in this way did on the month scored."""

    month: date
    fitted_on: tuple[date, ...]
    chosen_on: date | None
    fitted: Fitted
    tuning: Tuning
    scored_on: date | None
    leads: tuple[LeadScores, ...]

    def answer(self, questions: Questions, places: Places) -> Span:
        """Return estimate, P10 and P90 in minutes."""
        return answer(self.fitted, self.tuning, questions, places)


def train(months: Mapping[date, Trips], month: date, places: Places) -> DurationModel:
    """Make the model of `month` from the months before it, and score it on the month itself if that is there.

    Otherwise a model made in the same way a month earlier is scored on the newest month. Nothing of the month scored
    is used to fit or to choose.

    Raises:
        ServiceError: The month before is not there.
    """
    newest = months_before(month, 1)

    @cache
    def fitted(last: date) -> Fitted:
        return fit([months[m] for m in fit_months(months, last)], places)

    @cache
    def tuning(last: date) -> Tuning:
        before = months_before(last, 1)
        return tune(fitted(before), months[last], places) if usable(months, before) else Tuning()

    if not usable(months, newest):
        raise ServiceError(
            f"The model of {month_text(month)} needs at least {month_text(newest)}, with trips that have zones and "
            "times; materialize gcs_object of that month first."
        )
    scored = month if usable(months, month) else newest
    leads = tuple(
        _scored(months, scored, lead, lambda last: (fitted(last), tuning(last)), places)
        for lead in LEADS
        if usable(months, months_before(scored, lead))
    )
    before = months_before(newest, 1)
    return DurationModel(
        month,
        fit_months(months, newest),
        newest if usable(months, before) else None,
        fitted(newest),
        tuning(newest),
        scored if leads else None,
        leads,
    )


def usable(months: Mapping[date, Trips], month: date) -> bool:
    """Return whether a month has trips to learn from."""
    # Fewer leave folds or leaves empty.
    return month in months and len(months[month].plausible()) >= 100


def fit_months(months: Mapping[date, Trips], last: date) -> tuple[date, ...]:
    """Return the months that a model is fitted on: up to six that end with `last`, oldest first."""
    wanted = (months_before(last, k) for k in reversed(range(FIT_MONTHS)))
    return tuple(month for month in wanted if usable(months, month))


def _scored(
    months: Mapping[date, Trips],
    month: date,
    lead: int,
    model_of: Callable[[date], tuple[Fitted, Tuning]],
    places: Places,
) -> LeadScores:
    last = months_before(month, lead)
    fitted_on = fit_months(months, last)
    fitted, tuning = model_of(last)
    every = months[month]
    trips = every.plausible()
    estimate, low, high = answer(fitted, tuning, trips.questions, places)
    floors = _floors(months, month, lead, fitted_on, trips.questions, places)
    masks = slices(trips.questions, fitted.history.trips(trips.questions) > 0, places)
    by_slice = {
        name: {
            "model": score(trips.minutes[mask], estimate[mask], (low[mask], high[mask])),
            **{floor: score(trips.minutes[mask], minutes[mask]) for floor, minutes in floors.items()},
        }
        for name, mask in masks.items()
    }
    of_every, *span = answer(fitted, tuning, every.questions, places)
    return LeadScores(
        lead,
        fitted_on,
        score(trips.minutes, estimate, (low, high)),
        {name: score(trips.minutes, minutes) for name, minutes in floors.items()},
        score(every.minutes, of_every, (span[0], span[1])),
        by_slice,
    )


def _floors(
    months: Mapping[date, Trips],
    month: date,
    lead: int,
    fitted_on: tuple[date, ...],
    questions: Questions,
    places: Places,
) -> dict[str, Floats]:
    """Return the estimates of the floors, from the months that the model has as well, and of last year."""
    recent = joined([months[m].plausible() for m in fitted_on])
    floors = {"medians": Medians.of(recent, places).estimate(questions, places)}
    last_year, recent_last_year = months_before(month, YEAR), months_before(month, YEAR + lead)
    if usable(months, last_year) and usable(months, recent_last_year):
        floors["last_year"] = LastYear.of(
            months[last_year].plausible(),
            months[months_before(month, lead)].plausible(),
            months[recent_last_year].plausible(),
            places,
        ).estimate(questions, places)
    return floors


def pair_rows(model: DurationModel, trips: Trips, places: Places) -> dict[str, np.ndarray]:
    """Return, for each pair of zones among the trips, how many there were, and the means of what was estimated."""
    scored = trips.plausible()
    estimate, low, high = model.answer(scored.questions, places)
    pairs, rows, counts = np.unique(scored.questions.pair, return_inverse=True, return_counts=True)
    means = [
        np.bincount(rows, values, len(counts)) / counts
        for values in (scored.minutes, estimate, low, high, np.abs(estimate - scored.minutes))
    ]
    return {
        "pickup_location_id": pairs // 1000,
        "dropoff_location_id": pairs % 1000,
        "trips": counts,
        "actual_minutes": means[0],
        "estimated_minutes": means[1],
        "p10_minutes": means[2],
        "p90_minutes": means[3],
        "mean_absolute_error": means[4],
    }
