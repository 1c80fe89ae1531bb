"""Compare warehouses with the lake, the lake with its raw files, marts with tables; a difference names its command.

Each warehouse adds up its own rows, a month at a time, and the lake has the totals in its objects' metadata. Only
counts and sums are transferred, so memory does not grow with the months.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.errors import TaxiError
from taxi_assets.marts.marts import MONEY, Marts
from taxi_assets.months import month_text
from taxi_assets.reconcile.inventory import lake_objects, newest_raw_files, rejected_objects
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.resources.warehouse import Warehouse


@dataclass(frozen=True)
class Difference:
    """A month that differs in a place; `command` repairs it."""

    dataset: str
    month: date
    place: str
    found: str
    expected: str
    command: str


@dataclass(frozen=True)
class VerificationReport:
    """A dataset's months and rows in the lake, what differs, and the unreachable warehouses with reasons."""

    dataset: str
    months: int
    rows: int
    differences: tuple[Difference, ...]
    unasked: Mapping[str, str]

    @property
    def equal(self) -> bool:
        """Return whether every warehouse was compared and equals the lake."""
        return not self.differences and not self.unasked


def verify(
    dataset: Dataset,
    lake: LakeResource,
    warehouses: Sequence[Warehouse],
    first: date = date.min,
    last: date = date.max,
    log: Callable[[str], None] = lambda _: None,
    marts: Sequence[Marts] = (),
) -> VerificationReport:
    """Compare the months from `first` to `last`, in all warehouses at the same time, and their `marts`.

    An unreachable warehouse is part of the report; an unreachable lake raises as `lake_objects`.
    """
    objects = {month: item for month, item in lake_objects(lake, dataset).items() if first <= month <= last}
    expected = {m: Manifest.from_json(o.metadata["manifest"]) for m, o in objects.items() if "manifest" in o.metadata}
    found = [_by_hand(dataset, month) for month in objects.keys() - expected.keys()]
    found += _older(dataset, expected, newest_raw_files(lake, dataset))
    named = {difference.month for difference in found}
    rejected = rejected_objects(lake, dataset)
    found += [_mixed(dataset, m) for m, o in objects.items() if m not in named and _differ(o, rejected.get(m))]
    unasked: dict[str, str] = {}
    with ThreadPoolExecutor(len(warehouses)) as pool:
        pending = {
            w.label: pool.submit(_differences, dataset, w, expected, set(objects), (first, last), log)
            for w in warehouses
        }
        pending |= {
            f"{m.label}'s marts": pool.submit(_in_marts, dataset, m, expected, (first, last), log) for m in marts
        }
        for label, future in pending.items():
            try:
                found += future.result()
            except TaxiError as error:
                unasked[label] = str(error)
    rows = sum(manifest.kept.rows for manifest in expected.values())
    found.sort(key=lambda difference: (difference.month, difference.place))
    return VerificationReport(dataset.name, len(objects), rows, tuple(found), unasked)


def _by_hand(dataset: Dataset, month: date) -> Difference:
    return Difference(
        dataset.name,
        month,
        "the lake",
        "an object without a manifest, put there by hand",
        "the object that gcs_object publishes",
        _command(dataset, month),
    )


def _older(dataset: Dataset, expected: Mapping[date, Manifest], raw: Mapping[date, LakeObject]) -> list[Difference]:
    """Return the months whose published rows are not those of the newest raw file."""
    return [
        Difference(
            dataset.name,
            month,
            "the lake",
            f"the rows of an older raw file ({manifest.raw_file})",
            f"those of {raw[month].name}, archived at {raw[month].metadata['archived_at'][:19]}",
            _command(dataset, month),
        )
        for month, manifest in expected.items()
        if month in raw and raw[month].metadata.get("sha256") != manifest.raw_sha256
    ]


def _differ(kept: LakeObject, rejected: LakeObject | None) -> bool:
    """Return whether the two objects say that they are of different cleanings."""
    return rejected is not None and rejected.metadata.get("cleaning") != kept.metadata.get("cleaning")


def _mixed(dataset: Dataset, month: date) -> Difference:
    """Return the difference of a month whose run was killed after the first of its two objects was published."""
    return Difference(
        dataset.name,
        month,
        "the lake",
        "rejected rows of another cleaning than the kept ones",
        "both of one cleaning",
        _command(dataset, month),
    )


def _differences(
    dataset: Dataset,
    warehouse: Warehouse,
    expected: Mapping[date, Manifest],
    in_lake: set[date],
    span: tuple[date, date],
    log: Callable[[str], None],
) -> list[Difference]:
    place, counts, found = warehouse.label, warehouse.month_rows(dataset, *span), []
    for month in sorted(expected.keys() | (counts.keys() - in_lake)):
        log(f"{dataset.name} {month_text(month)} in {place}")
        if month not in expected:
            # The whole month: only its source shows whether these rows should exist.
            what = (f"{counts[month]:,} rows", "no rows, as the lake has no such month", _command(dataset, month))
            found.append(Difference(dataset.name, month, place, *what))
            continue
        kept = expected[month].kept
        if month not in counts:
            wrong: list[tuple[str, Any, Any]] = [("rows", 0, kept.rows)] if kept.rows else []
        else:
            wrong = warehouse.month_totals(dataset, month).compare(kept)
        if wrong:
            mine, theirs = (_as_text((entry[0], entry[side]) for entry in wrong) for side in (1, 2))
            command = _command(dataset, month, warehouse.asset_name)
            found.append(Difference(dataset.name, month, place, mine, theirs, command))
    return found


def _in_marts(
    dataset: Dataset,
    marts: Marts,
    expected: Mapping[date, Manifest],
    span: tuple[date, date],
    log: Callable[[str], None],
) -> list[Difference]:
    """Return the months whose marts have not the trips and sums of the lake, as the tables have them.

    Where the dataset has no marts at all, none are expected.
    """
    log(f"{dataset.name} in {marts.label}'s marts")
    held, found = marts.month_sums(dataset, *span), []
    if not held:
        return []
    for month in sorted(expected.keys() | held.keys()):
        mine, kept = held.get(month, Totals()), expected[month].kept if month in expected else Totals()
        counts = [("trips", mine.rows, kept.rows)]
        if mine.rows:
            # Of a month that was never made, its sums would say nothing more.
            counts += [
                (f"cents of {name}", mine.cents.get(name, 0), kept.cents.get(name, 0)) for name in MONEY[dataset.name]
            ]
        wrong = [entry for entry in counts if entry[1] != entry[2]]
        if wrong:
            here, there = (_as_text((entry[0], entry[side]) for entry in wrong) for side in (1, 2))
            command = f"taxi rebuild {dataset.name} {month_text(month)} --marts --{marts.resource}"
            found.append(Difference(dataset.name, month, f"{marts.label}'s marts", here, there, command))
    return found


def _as_text(values: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{what} {value:,}" if isinstance(value, int) else f"{what} {value}" for what, value in values)


def _command(dataset: Dataset, month: date, asset: str | None = None) -> str:
    what = f"{dataset.name}/{asset}" if asset else f"group:{dataset.name}"
    return f"dagster asset materialize --select {what} --partition {month.isoformat()}"
