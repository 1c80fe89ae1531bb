"""The registry of datasets, which holds all their differences. To add a dataset, add an entry."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from taxi_assets.contract import schemas
from taxi_assets.contract.rules import (
    FHV_FLAGS,
    FHVHV_FLAGS,
    METERED_FLAGS,
    METERED_RULES,
    PICKUP_ONLY_RULES,
    TIMED_RULES,
    Rule,
)
from taxi_assets.errors import SettingsError
from taxi_assets.months import month_text


@dataclass(frozen=True)
class Dataset:
    """One of TLC's trip record series.

    `usual_rejects` and `too_many_rejects` are shares of a month's rows that the rules reject: above
    the first a check warns, above the second it stops publishing.
    """

    name: str
    title: str
    first_month: date
    schema: schemas.Schema
    rules: tuple[Rule, ...]
    quality_flags: tuple[Rule, ...]
    usual_rejects: float
    too_many_rejects: float

    @property
    def rule_names(self) -> tuple[str, ...]:
        """Reasons of rejection, in the order in which they are tried."""
        return tuple(rule.name for rule in self.rules)

    def check_month(self, month: date) -> None:
        """Refuse a month before the first one.

        Raises:
            SettingsError: There never was such a file.
        """
        if month < self.first_month:
            raise SettingsError(
                f"{self.name} has no {month_text(month)}: its first month is {month_text(self.first_month)}."
            )


DATASETS: Mapping[str, Dataset] = {
    d.name: d
    for d in (
        Dataset(
            "yellow",
            "Yellow taxi trips, metered, hailed in the street",
            date(2009, 1, 1),
            schemas.YELLOW,
            METERED_RULES,
            METERED_FLAGS,
            usual_rejects=0.05,
            too_many_rejects=0.25,
        ),
        Dataset(
            "green",
            "Green taxi (boro taxi) trips, metered, hailed outside Manhattan's core",
            date(2013, 8, 1),
            schemas.GREEN,
            METERED_RULES,
            METERED_FLAGS,
            usual_rejects=0.05,
            too_many_rejects=0.25,
        ),
        Dataset(
            "fhv",
            "For-hire vehicle trips, dispatched by a base",
            date(2015, 1, 1),
            schemas.FHV,
            PICKUP_ONLY_RULES,
            FHV_FLAGS,
            usual_rejects=0.10,
            too_many_rejects=0.50,
        ),
        Dataset(
            "fhvhv",
            "High-volume for-hire vehicle trips (Uber, Lyft, Via, Juno)",
            date(2019, 2, 1),
            schemas.FHVHV,
            TIMED_RULES,
            FHVHV_FLAGS,
            usual_rejects=0.05,
            too_many_rejects=0.25,
        ),
    )
}


def dataset(name: str) -> Dataset:
    """Return the dataset of that name.

    Raises:
        SettingsError: There is none.
    """
    if name not in DATASETS:
        near = difflib.get_close_matches(name.lower(), DATASETS, 1, 0.5)
        hint = f", did you mean {near[0]}" if near else ""
        raise SettingsError(f"{name!r} is no dataset{hint}; there are {', '.join(DATASETS)}.")
    return DATASETS[name]
