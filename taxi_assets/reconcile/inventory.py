"""The months that the lake holds, cleaned and raw, read from one listing each."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import clean_object, raw_prefix, rejected_object
from taxi_assets.errors import SettingsError
from taxi_assets.months import parse_month
from taxi_assets.resources.lake import LakeObject, LakeResource

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


def lake_objects(lake: LakeResource, dataset: Dataset) -> dict[date, LakeObject]:
    """Return the objects of kept rows by month, oldest first; one that was overwritten by hand has no manifest.

    Raises:
        ServiceError: The bucket does not exist or access is denied.
        ServiceUnavailableError: The bucket does not respond.
    """
    return _objects(lake, dataset, clean_object)


def rejected_objects(lake: LakeResource, dataset: Dataset) -> dict[date, LakeObject]:
    """Return the objects of rejected rows by month, oldest first; raises as `lake_objects`."""
    return _objects(lake, dataset, rejected_object)


def _objects(lake: LakeResource, dataset: Dataset, named: Callable[[str, date], str]) -> dict[date, LakeObject]:
    found = {}
    # The prefix and the ending of every month's object, whatever the month is.
    prefix, _, ending = named(dataset.name, dataset.first_month).partition(f"{dataset.first_month:%Y-%m}")
    for item in lake.list(prefix):
        try:
            month = parse_month(item.name.removeprefix(prefix).removesuffix(ending))
        except SettingsError:
            continue  # not one of this project's objects
        if item.name == named(dataset.name, month):
            found[month] = item
    return dict(sorted(found.items()))


def newest_raw_files(lake: LakeResource, dataset: Dataset) -> dict[date, LakeObject]:
    """Return the raw file of each month that was archived last, whatever its published name, oldest month first.

    Raises:
        ServiceError: The bucket does not exist or access is denied.
        ServiceUnavailableError: The bucket does not respond.
    """
    found: dict[date, LakeObject] = {}
    for item in lake.list(raw_prefix(dataset.name)):
        month = _MONTH.search(Path(item.name).name)
        if month is None or "archived_at" not in item.metadata:
            continue
        key = date(int(month[1]), int(month[2]), 1)
        if key not in found or found[key].metadata["archived_at"] < item.metadata["archived_at"]:
            found[key] = item
    return dict(sorted(found.items()))


def newest_raw(lake: LakeResource, dataset: Dataset, month: date) -> LakeObject | None:
    """Return the raw file of a month that was archived last; raises as `newest_raw_files`."""
    return newest_raw_files(lake, dataset).get(month)
