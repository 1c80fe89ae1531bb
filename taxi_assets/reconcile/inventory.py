"""The months that the lake holds, read from one listing."""

from datetime import date

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import clean_object
from taxi_assets.errors import SettingsError
from taxi_assets.months import parse_month
from taxi_assets.resources.lake import LakeObject, LakeResource


def lake_objects(lake: LakeResource, dataset: Dataset) -> dict[date, LakeObject]:
    """Return the objects of kept rows by month, oldest first; one that was overwritten by hand has no manifest.

    Raises:
        ServiceError: The bucket does not exist or access is denied.
        ServiceUnavailableError: The bucket does not respond.
    """
    found = {}
    # The prefix and the ending of every month's object, whatever the month is.
    prefix, _, ending = clean_object(dataset.name, dataset.first_month).partition(f"{dataset.first_month:%Y-%m}")
    for item in lake.list(prefix):
        try:
            month = parse_month(item.name.removeprefix(prefix).removesuffix(ending))
        except SettingsError:
            continue  # not one of this project's objects
        if item.name == clean_object(dataset.name, month):
            found[month] = item
    return dict(sorted(found.items()))


def lake_months(lake: LakeResource, dataset: Dataset) -> dict[date, Manifest]:
    """Return the manifest of every month that the lake holds, oldest first; raises as `lake_objects`."""
    return {
        month: Manifest.from_json(item.metadata["manifest"])
        for month, item in lake_objects(lake, dataset).items()
        if "manifest" in item.metadata
    }
