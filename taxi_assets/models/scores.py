"""Scores of estimates against what trips took, in minutes: of all trips, and by slice."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from taxi_assets.models.places import AIRPORTS, Floats, Places
from taxi_assets.models.trips import Questions

# Slices of fewer trips are left out of the card: their scores are chance.
SMALLEST_SLICE = 50


@dataclass(frozen=True)
class Scores:
    """MAE, RMSE and bias in minutes (positive: too long), shares 0 to 1; `coverage` of the span P10 to P90."""

    trips: int
    mae: float
    rmse: float
    bias: float
    p90_error: float
    within_5_minutes: float
    coverage: float | None = None

    def as_dict(self) -> dict[str, float | int | None]:
        """Return the scores, rounded for people."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def score(minutes: Floats, estimate: Floats, span: tuple[Floats, Floats] | None = None) -> Scores:
    """Return the scores of one or more trips."""
    error = estimate - minutes
    absolute = np.abs(error)
    inside = None if span is None else float(((minutes >= span[0]) & (minutes <= span[1])).mean())
    return Scores(
        len(minutes),
        float(absolute.mean()),
        float(np.sqrt((error * error).mean())),
        float(error.mean()),
        float(np.quantile(absolute, 0.9)),
        float((absolute <= 5).mean()),
        inside,
    )


def slices(questions: Questions, seen: npt.NDArray[np.bool_], places: Places) -> dict[str, npt.NDArray[np.bool_]]:
    """Return a mask for each slice: hours, pairs of boroughs, airports, pairs that the model had not seen."""
    hour = questions.hour.astype(np.int64)
    found = {f"hour {number:02}": hour == number for number in range(24)}
    start, end = places.borough[questions.pickup], places.borough[questions.dropoff]
    for i, one in enumerate(places.borough_names):
        for j, other in enumerate(places.borough_names):
            found[f"{one} to {other}"] = (start == i) & (end == j)
    airport = np.isin(questions.pickup, AIRPORTS) | np.isin(questions.dropoff, AIRPORTS)
    found |= {"airport": airport, "no airport": ~airport, "unseen pair": ~seen}
    return {name: mask for name, mask in found.items() if mask.sum() >= SMALLEST_SLICE}


def gain(model: Scores, floors: Mapping[str, Scores]) -> float:
    """Return by which share the model's MAE is below that of the stronger floor."""
    best = min(floor.mae for floor in floors.values())
    return 1 - model.mae / best if best else 0.0
