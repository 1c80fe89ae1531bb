"""After a crash of the embedded services: the months that were being written, compared with the lake and mended.

PostgreSQL rolls back what was not committed. The emulators of Cloud Storage and BigQuery have no transaction across a
crash: an object may have other bytes than its checksum says, and a month may have been deleted and not inserted.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import NamedTuple

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object
from taxi_assets.contract.tables import trips_table
from taxi_assets.errors import TaxiError
from taxi_assets.months import month_text, parse_month
from taxi_assets.reconcile.inventory import newest_raw
from taxi_assets.reconcile.rebuild import rebuild
from taxi_assets.reconcile.verify import verify
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeObject, LakeResource, crc32c_of
from taxi_assets.resources.warehouse import Warehouse

_PENDING = re.compile(rf"{PENDING}\w+/(\w+)/\w+_(\d{{4}}-(?:0[1-9]|1[0-2]))\.parquet$")


class Unfinished(NamedTuple):
    """A month that was being written."""

    dataset: str
    month: date

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.dataset} {month_text(self.month)}"


def unfinished_months(lake: LakeResource, bigquery: BigQueryWarehouse) -> set[Unfinished]:
    """Return the months of which pending objects or staging tables were left."""
    found = set()
    for item in lake.list(PENDING):
        match = _PENDING.match(item.name)
        if match and match[1] in DATASETS:
            found.add(Unfinished(match[1], parse_month(match[2])))
    tables = list(bigquery.staging_tables())
    for dataset in DATASETS:
        staging = re.compile(rf"\.{trips_table(dataset)}__staging_(\d{{4}})(\d{{2}})_")
        months = filter(None, map(staging.search, tables))
        found |= {Unfinished(dataset, date(int(match[1]), int(match[2]), 1)) for match in months}
    return found


def mend(
    lake: LakeResource, warehouses: Sequence[Warehouse], item: Unfinished, log: Callable[[str], None]
) -> list[str]:
    """Compare a month's objects with their checksums and its rows with the lake, and mend what differs.

    Returns:
        What could not be mended, each in one sentence with the command to run.
    """
    dataset, month = DATASETS[item.dataset], item.month
    if left := [text for found in _objects(lake, dataset, month) if (text := _mend_object(lake, found, item, log))]:
        return left
    report = verify(dataset, lake, warehouses, month, month)
    left = [f"{item} in {place} was not compared: {reason}" for place, reason in report.unasked.items()]
    for difference in report.differences:
        what = f"{item} in {difference.place}: found {difference.found}, expected {difference.expected}"
        wrong = [warehouse for warehouse in warehouses if warehouse.label == difference.place]
        failures: list[str] = []
        if wrong and rebuild(lake, wrong, [dataset], month, month, log=failures.append).loaded:
            log(f"{what}; loaded again from the lake.")
        else:
            left.append(f"{'; '.join([what, *failures])}; run `{difference.command}`.")
    for warehouse in warehouses:
        warehouse.drop_leftovers(dataset, month)
    if report.equal:
        log(f"{item} is the same in all places.")
    return left


def _objects(lake: LakeResource, dataset: Dataset, month: date) -> list[LakeObject]:
    found = [lake.find(name(dataset.name, month)) for name in (clean_object, rejected_object)]
    return [item for item in (*found, newest_raw(lake, dataset, month)) if item is not None]


def _mend_object(lake: LakeResource, found: LakeObject, item: Unfinished, log: Callable[[str], None]) -> str | None:
    """Store an object anew, from its local copy, if the bucket sends other bytes than it describes."""
    if lake.is_intact(found):
        return None
    copy, what = lake.local_path(found.name), f"{found.uri} has other bytes than its checksum says"
    if not copy.is_file() or crc32c_of(copy) != found.crc32c:
        return f"{what}, and there is no copy of it; run `taxi materialize {item} --force`."
    lake.remove(found)
    try:
        lake.put(copy, found.name, found.metadata)
    except TaxiError as error:
        return f"{what}: {error}"
    log(f"{what}; stored again from its copy.")
    return None
