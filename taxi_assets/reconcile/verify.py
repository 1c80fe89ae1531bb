"""Compares what the sinks hold with the lake, month by month, and names the command that mends what differs.

Only counts and sums travel: each sink adds up its own rows, a month at a time, and the lake has them in its
objects' metadata. So it needs little memory and no Dagster, whatever the size of a month.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.errors import TaxiError
from taxi_assets.months import month_text
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse

# The asset that loads each sink, and how people call it.
SINKS: Mapping[str, tuple[str, str]] = {
    "bigquery": ("bigquery_table", "BigQuery"),
    "postgres": ("postgres_table", "PostgreSQL"),
}


@dataclass(frozen=True)
class Difference:
    """A month that a place holds other than it should; `command` mends it."""

    dataset: str
    month: date
    place: str
    found: str
    expected: str
    command: str


@dataclass(frozen=True)
class VerificationReport:
    """A dataset's months of the lake, their rows, what differs, and the sinks that could not be asked, with reasons."""

    dataset: str
    months: int
    rows: int
    differences: tuple[Difference, ...]
    unasked: Mapping[str, str]

    @property
    def equal(self) -> bool:
        """Whether every sink was asked and holds what the lake holds."""
        return not self.differences and not self.unasked


def verify(
    dataset: Dataset,
    lake: LakeResource,
    sinks: Mapping[str, PostgresWarehouse | BigQueryWarehouse],
    first: date = date.min,
    last: date = date.max,
    say: Callable[[str], None] = lambda text: None,
) -> VerificationReport:
    """Compare the months from `first` to `last`; the sinks are asked at the same time, a month after the other.

    Raises:
        ServiceError, ServiceUnavailableError: the lake cannot be asked; a sink that cannot is told in the report.
    """
    objects = {month: item for month, item in lake_objects(lake, dataset).items() if first <= month <= last}
    expected = {m: Manifest.from_json(o.metadata["manifest"]) for m, o in objects.items() if "manifest" in o.metadata}
    by_hand = [
        Difference(
            dataset.name,
            month,
            "the lake",
            "an object without a manifest, put there by hand",
            "the object that gcs_object publishes",
            _command(dataset, month),
        )
        for month in objects.keys() - expected.keys()
    ]
    found: list[Difference] = by_hand
    unasked: dict[str, str] = {}
    with ThreadPoolExecutor(len(sinks)) as pool:
        asked: dict[str, Future[list[Difference]]] = {
            name: pool.submit(_differences, dataset, name, sink, expected, set(objects), (first, last), say)
            for name, sink in sinks.items()
        }
        for name, answer in asked.items():
            try:
                found += answer.result()
            except TaxiError as error:
                unasked[SINKS[name][1]] = str(error)
    rows = sum(manifest.kept.rows for manifest in expected.values())
    found.sort(key=lambda difference: (difference.month, difference.place))
    return VerificationReport(dataset.name, len(objects), rows, tuple(found), unasked)


def _differences(
    dataset: Dataset,
    name: str,
    sink: PostgresWarehouse | BigQueryWarehouse,
    expected: Mapping[date, Manifest],
    in_lake: set[date],
    span: tuple[date, date],
    say: Callable[[str], None],
) -> list[Difference]:
    asset, place = SINKS[name]
    counts = sink.month_rows(dataset, *span)
    found = []
    for month in sorted(expected.keys() | (counts.keys() - in_lake)):
        say(f"{dataset.name} {month_text(month)} in {place}")
        manifest = expected.get(month)
        if manifest is None:
            # The whole month: only its source can tell whether these rows should be there.
            what = (f"{counts[month]:,} rows", "no rows, as the lake has no such month", _command(dataset, month))
            found.append(Difference(dataset.name, month, place, *what))
            continue
        kept = manifest.kept
        if month not in counts:
            wrong: list[tuple[str, Any, Any]] = [("rows", 0, kept.rows)] if kept.rows else []
        else:
            wrong = sink.month_totals(dataset, month).compare(kept)
        if wrong:
            found.append(
                Difference(
                    dataset.name,
                    month,
                    place,
                    _said((what, mine) for what, mine, _ in wrong),
                    _said((what, theirs) for what, _, theirs in wrong),
                    _command(dataset, month, asset),
                )
            )
    return found


def _said(values: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{what} {value:,}" if isinstance(value, int) else f"{what} {value}" for what, value in values)


def _command(dataset: Dataset, month: date, asset: str | None = None) -> str:
    what = f"{dataset.name}/{asset}" if asset else f"group:{dataset.name}"
    return f"dagster asset materialize --select {what} --partition {month.isoformat()}"
