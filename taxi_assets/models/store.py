"""Saved models: one skops file each, beside a card that names it. A file that is not the card's is refused.

A model of a month consists of objects under `models/<dataset>/<YYYY-MM>/`: `model-<fingerprint>.skops`, `card.json`,
`card.html` and `pairs.parquet`. The card is written last, so that readers see the old model or the new one.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from taxi_assets.errors import ServiceError
from taxi_assets.models.backtest import DurationModel
from taxi_assets.models.features import FEATURE_VERSION
from taxi_assets.models.fit import Fitted, Tuning
from taxi_assets.models.history import History
from taxi_assets.models.quick_skops import skops_io
from taxi_assets.models.skops_file import ForeignTypeError, by_skops
from taxi_assets.months import month_text, parse_month

LIBRARIES = ("scikit-learn", "numpy", "skops")
CARD = "card.json"
Card = dict[str, Any]
Unpack = Callable[[bytes], Any]


def models_prefix(dataset: str) -> str:
    """Return the prefix of all that belongs to a dataset's models."""
    return f"models/{dataset}/"


def model_object(dataset: str, month: date, name: str) -> str:
    """Return the object of that name of a month's model."""
    return f"{models_prefix(dataset)}{month_text(month)}/{name}"


def model_months(dataset: str, names: Iterable[str]) -> list[date]:
    """Return the months whose models are in use, from the names of objects; oldest first."""
    pattern = re.compile(rf"{re.escape(models_prefix(dataset))}(\d{{4}}-\d{{2}})/{re.escape(CARD)}")
    return sorted(parse_month(found[1]) for name in names if (found := pattern.fullmatch(name)))


def to_bytes(model: DurationModel, dataset: str) -> bytes:
    """Return the content of the model's file."""
    fitted = model.fitted
    content = {
        "dataset": dataset,
        "month": month_text(model.month),
        "feature_version": FEATURE_VERSION,
        "tuning": asdict(model.tuning),
        "trees": {name: getattr(fitted, name) for name in ("mean", "log", "lower", "upper")},
        "history": {
            "means": fitted.history.means,
            "keys": dict(fitted.history.keys),
            "added": dict(fitted.history.added),
            "pair_trips": fitted.history.pair_trips,
        },
    }
    return bytes(skops_io().dumps(content))


def file_facts(content: bytes) -> dict[str, str | int]:
    """Return what the card holds of the model's file."""
    digest = hashlib.sha256(content).hexdigest()
    return {"name": f"model-{digest[:12]}.skops", "sha256": digest, "bytes": len(content)}


def libraries() -> dict[str, str]:
    """Return the versions that a saved model is bound to.

    Raises:
        ServiceError: The extra `models` is not installed.
    """
    try:
        return {name: version(name) for name in LIBRARIES}
    except PackageNotFoundError as error:
        raise ServiceError(
            f"The package {error.name} is not installed; install the extra: pip install 'taxi-assets[models]'."
        ) from error


def load(
    dataset: str, month: date, read: Callable[[str], bytes | None], unpack: Unpack = by_skops
) -> tuple[Card, Fitted, Tuning]:
    """Return the card and the model of a month.

    Args:
        dataset: Name of the dataset.
        month: Month of the model.
        read: Returns an object's content, or None.
        unpack: Reads the model's file. `by_numpy` takes less time for a few questions, and `by_skops` for many.

    Raises:
        ServiceError: The card or the file is missing, broken, of another model, or made by other versions.
    """
    what, again = _named(dataset, month)
    card = read_card(dataset, month, read)
    if (card.get("dataset"), card.get("month")) != (dataset, month_text(month)):
        raise ServiceError(f"{what} has the card of {card.get('dataset')} {card.get('month')}; {again}.")
    _check_versions(card, what, again)
    name = str(card["file"].get("name"))
    if not re.fullmatch(r"model-[0-9a-f]{12}\.skops", name):
        raise ServiceError(f"{what} has a card that names the file {name!r}, which is none of a model; {again}.")
    content = read(model_object(dataset, month, name))
    if content is None:
        raise ServiceError(f"{what} lacks its file {name}; {again}.")
    if hashlib.sha256(content).hexdigest() != card["file"].get("sha256"):
        raise ServiceError(f"{what} is broken: the fingerprint of {name} is not the one on its card; {again}.")
    fitted, tuning = _content(unpack, content, dataset, month, what, again)
    return card, fitted, tuning


def read_card(dataset: str, month: date, read: Callable[[str], bytes | None]) -> Card:
    """Return the card of a month's model; `read` returns an object's content, or None.

    Raises:
        ServiceError: There is no card, or it cannot be read.
    """
    what, again = _named(dataset, month)
    content = read(model_object(dataset, month, CARD))
    if content is None:
        raise ServiceError(f"{what} has no card; {again}.")
    try:
        card = json.loads(content)
    except ValueError:
        card = None
    parts = ("file", "libraries")
    if not isinstance(card, dict) or not all(isinstance(card.get(part), dict) for part in parts):
        raise ServiceError(f"{what} has a card that cannot be read; {again}.")
    return card


def _named(dataset: str, month: date) -> tuple[str, str]:
    """Return what the model is called in a sentence, and what to do if it cannot be used."""
    return (
        f"The {dataset} model of {month_text(month)}",
        f"materialize {dataset}/duration_model of {month_text(month)} again",
    )


def _check_versions(card: Card, what: str, again: str) -> None:
    if card.get("feature_version") != FEATURE_VERSION:
        raise ServiceError(
            f"{what} is stale: its features have version {card.get('feature_version')}, and this program's "
            f"{FEATURE_VERSION}; {again}."
        )
    made_by, installed = card["libraries"].get("scikit-learn"), libraries()["scikit-learn"]
    if made_by != installed:
        raise ServiceError(f"{what} is stale: scikit-learn {made_by} made it, and {installed} is installed; {again}.")


def _content(unpack: Unpack, content: bytes, dataset: str, month: date, what: str, again: str) -> tuple[Fitted, Tuning]:
    try:
        found = unpack(content)
    except ForeignTypeError as error:
        raise ServiceError(f"{what} is refused: its file holds {error}, which no model does; {again}.") from error
    # Whatever the readers of zip, JSON and arrays raise.
    except Exception as error:
        raise ServiceError(f"{what} cannot be read ({type(error).__name__}); {again}.") from error
    if not isinstance(found, Mapping) or (found.get("dataset"), found.get("month")) != (dataset, month_text(month)):
        raise ServiceError(f"{what} is refused: its file is of another model; {again}.")
    try:
        history = found["history"]
        means = np.asarray(history["means"])
        fitted = Fitted(History(means, history["keys"], history["added"], history["pair_trips"]), **found["trees"])
        return fitted, Tuning(**found["tuning"])
    except (KeyError, TypeError) as error:
        raise ServiceError(f"{what} is refused: its file has other parts than a model ({error}); {again}.") from error
