"""Fit a model on months that are over, and answer questions with it."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from taxi_assets.models.features import FEATURES, asked, audit, matrix
from taxi_assets.models.history import History, out_of_fold
from taxi_assets.models.places import Floats, Places
from taxi_assets.models.trips import SHORTEST, Questions, Trips, joined

# Trips that the trees are grown on; history uses all of the sample.
FIT_ROWS = 150_000
LOWER, UPPER = 0.1, 0.9
PARAMETERS = {
    "max_iter": 100,
    "learning_rate": 0.1,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 40,
    "l2_regularization": 1.0,
    "early_stopping": False,
    "random_state": 0,
}
# Of the mean in the estimate; the rest is the typical duration. The mean has no bias, the typical one the smaller MAE.
WEIGHTS = (1.0, 0.75, 0.5)
# How many minutes of MAE a minute of bias is worth.
BIAS_COST = 0.1


@dataclass(frozen=True)
class Tuning:
    """What is chosen on a month that the trees have not seen: the mean's weight, and how the span is widened."""

    mean_weight: float = 0.75
    below: float = 0.0
    above: float = 0.0


@dataclass(frozen=True)
class Fitted:
    """Trees for the mean, the logarithm, P10 and P90, and the history that their features need.

    The trees are scikit-learn's regressors, or the `Trees` of a stored model.
    """

    history: History
    mean: Any
    log: Any
    lower: Any
    upper: Any

    def raw(self, questions: Questions, places: Places) -> tuple[Floats, Floats, Floats, Floats]:
        """Return mean, typical duration, P10 and P90 in minutes, before tuning."""
        features = asked(questions, self.history, places)
        return (
            self.mean.predict(features),
            np.exp(self.log.predict(features)),
            self.lower.predict(features),
            self.upper.predict(features),
        )


def answer(fitted: Fitted, tuning: Tuning, questions: Questions, places: Places) -> tuple[Floats, Floats, Floats]:
    """Return estimate, P10 and P90 in minutes, in ascending order of P10, estimate and P90."""
    mean, typical, lower, upper = fitted.raw(questions, places)
    width = np.maximum(upper - lower, SHORTEST)
    estimate = np.maximum(tuning.mean_weight * mean + (1 - tuning.mean_weight) * typical, SHORTEST)
    low = np.clip(lower - tuning.below * width, SHORTEST, estimate)
    return estimate, low, np.maximum(upper + tuning.above * width, estimate)


def fit(months: Sequence[Trips], places: Places) -> Fitted:
    """Fit on the trips of months in ascending order, those of 1 to 180 minutes.

    Each tree model grows in one thread, two at a time: the result does not depend on the number of cores, and a busy
    machine does not make threads wait for each other.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    audit(FEATURES)
    parts = [trips.plausible() for trips in months]
    trips = joined(parts)
    age = np.concatenate([np.full(len(part), len(parts) - 1 - i, np.int64) for i, part in enumerate(parts)])
    features = matrix(trips.questions, age, out_of_fold(trips, places), places)
    minutes = trips.minutes
    if len(minutes) > FIT_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(len(minutes), FIT_ROWS, replace=False))
        features, minutes = features[rows], minutes[rows]

    def grow(target: Floats, **loss: Any) -> Callable[[], Any]:
        def run() -> Any:
            with threadpool_limits(1):
                return HistGradientBoostingRegressor(**PARAMETERS, **loss).fit(features, target)

        return run

    jobs = [
        grow(minutes),
        grow(np.log(minutes)),
        grow(minutes, loss="quantile", quantile=LOWER),
        grow(minutes, loss="quantile", quantile=UPPER),
    ]
    with ThreadPoolExecutor(2) as pool:
        mean, log, lower, upper = pool.map(lambda job: job(), jobs)
    return Fitted(History.of(trips, places), mean, log, lower, upper)


def tune(fitted: Fitted, chosen_on: Trips, places: Places) -> Tuning:
    """Choose the weight of the mean, and widen the span until a tenth of the trips is on either side of it."""
    trips = chosen_on.plausible()
    mean, typical, lower, upper = fitted.raw(trips.questions, places)

    def cost(weight: float) -> float:
        error = weight * mean + (1 - weight) * typical - trips.minutes
        return float(np.abs(error).mean() + BIAS_COST * abs(error.mean()))

    width = np.maximum(upper - lower, SHORTEST)
    return Tuning(
        min(WEIGHTS, key=cost),
        float(np.quantile((lower - trips.minutes) / width, UPPER)),
        float(np.quantile((trips.minutes - upper) / width, UPPER)),
    )
