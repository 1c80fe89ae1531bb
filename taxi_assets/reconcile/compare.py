"""Compare the places of a dataset, and count how many months it is behind; pure."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import date

from taxi_assets.contract.manifest import Manifest
from taxi_assets.months import month_text, months_between

# Sensors poll twice an hour and a load takes minutes. A published month that is not loaded at the daily comparison has
# either just appeared or fails. TLC publishes one a month: one month behind may have just appeared, two cannot.
WARN_BEHIND = 1
FAIL_BEHIND = 2


@dataclass(frozen=True)
class Places:
    """What each place holds of a dataset by month.

    `published` are the months that the source was found to have; `lake` has None for an object without a manifest;
    `bigquery` and `postgres` are rows, `loaded_from` the SHA-256 of the raw file that PostgreSQL's rows came from, and
    `raw` that of the newest raw file.
    """

    published: Set[date]
    lake: Mapping[date, Manifest | None]
    bigquery: Mapping[date, int]
    postgres: Mapping[date, int]
    loaded_from: Mapping[date, str]
    raw: Mapping[date, str] = field(default_factory=dict)

    @property
    def months(self) -> list[date]:
        """Return every month that any place has, newest first."""
        return sorted({*self.published, *self.lake, *self.bigquery, *self.postgres}, reverse=True)

    @property
    def loaded(self) -> list[date]:
        """Return the months that are in the lake and in both warehouses, oldest first."""
        return sorted(self.lake.keys() & self.bigquery.keys() & self.postgres.keys())

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was ever loaded."""
        return not (self.lake or self.bigquery or self.postgres)


@dataclass(frozen=True)
class Finding:
    """A month that differs between the places, and how."""

    month: date
    what: str


def compare(places: Places) -> list[Finding]:
    """Return the months that differ, newest first. If nothing was ever loaded, nothing is missing."""
    if places.is_empty:
        return []
    return [Finding(month, what) for month in places.months if (what := _difference(places, month))]


def _difference(places: Places, month: date) -> str:
    sinks = {"BigQuery": places.bigquery.get(month, 0), "PostgreSQL": places.postgres.get(month, 0)}
    if month not in places.lake:
        held = [f"{rows:,} rows in {name}" for name, rows in sinks.items() if rows]
        return f"not in the lake, but {' and '.join(held)}" if held else "published, but not loaded"
    manifest = places.lake[month]
    if manifest is None:
        return "the object in the lake was put there by hand"
    if places.raw.get(month, manifest.raw_sha256) != manifest.raw_sha256:
        return "the lake has the rows of an older raw file"
    found = [
        f"missing in {name}" if not rows else f"{rows:,} rows in {name} and {manifest.kept.rows:,} in the lake"
        for name, rows in sinks.items()
        if rows != manifest.kept.rows
    ]
    if not found and places.loaded_from.get(month, manifest.raw_sha256) != manifest.raw_sha256:
        found = ["PostgreSQL has the rows of an older raw file"]
    return ", ".join(found)


@dataclass(frozen=True)
class Freshness:
    """How many months the newest loaded month is behind the newest published one, None if nothing is loaded."""

    behind: int | None
    description: str

    @property
    def warns(self) -> bool:
        """Return whether the check warns."""
        return self.behind is not None and self.behind >= WARN_BEHIND

    @property
    def fails(self) -> bool:
        """Return whether the check fails."""
        return self.behind is not None and self.behind >= FAIL_BEHIND


def freshness(places: Places) -> Freshness:
    """Return the freshness by the months themselves: an old month that is loaded today is no fresher."""
    newest = max({*places.published, *places.lake}, default=None)
    if places.is_empty or newest is None:
        return Freshness(None, "Nothing is loaded, so nothing is behind.")
    loaded = max(places.loaded, default=None)
    if loaded is None:
        return Freshness(FAIL_BEHIND, "No month is in the lake and in both warehouses.")
    behind = max(0, months_between(loaded, newest))
    return Freshness(
        behind,
        f"{month_text(loaded)} is the newest month in all places, {month_text(newest)} the newest published one known: "
        f"{behind} months behind. From {WARN_BEHIND} on it warns, from {FAIL_BEHIND} on it fails.",
    )
