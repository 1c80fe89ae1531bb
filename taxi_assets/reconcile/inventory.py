"""What each place holds, by month, asked as cheaply as it can be: the lake by one listing, warehouses by counting.

Sums are compared month by month, with a warehouse's `month_totals` and the `kept` of the month's manifest.
"""

from datetime import date

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import clean_object
from taxi_assets.errors import SettingsError
from taxi_assets.months import parse_month
from taxi_assets.resources.lake import LakeObject, LakeResource


def lake_objects(lake: LakeResource, dataset: Dataset) -> dict[date, LakeObject]:
    """The objects of kept rows by month, oldest first; one that was overwritten by hand has no manifest.

    Raises:
        ServiceError, ServiceUnavailableError: the bucket is not there, not allowed, or does not answer.
    """
    found = {}
    # The prefix and the ending of every month's object, whatever the month is.
    prefix, _, ending = clean_object(dataset.name, dataset.first_month).partition(f"{dataset.first_month:%Y-%m}")
    for item in lake.list(prefix):
        try:
            month = parse_month(item.name.removeprefix(prefix).removesuffix(ending))
        except SettingsError:
            continue  # somebody else's object beside ours
        if item.name == clean_object(dataset.name, month):
            found[month] = item
    return dict(sorted(found.items()))


def lake_months(lake: LakeResource, dataset: Dataset) -> dict[date, Manifest]:
    """The manifest of every month that the lake holds, oldest first, from the objects' metadata.

    Raises:
        ServiceError, ServiceUnavailableError: as `lake_objects`.
    """
    return {
        month: Manifest.from_json(item.metadata["manifest"])
        for month, item in lake_objects(lake, dataset).items()
        if "manifest" in item.metadata
    }
