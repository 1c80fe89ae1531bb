"""Loads warehouses from the lake alone, as their assets would: for one that was lost, or is new.

Nothing is downloaded from the source and nothing cleaned. It can be stopped and asked for again: what equals the
lake already is left as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from functools import partial

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import ZONES_OBJECT
from taxi_assets.contract.tables import ZONES_TABLE
from taxi_assets.errors import ServiceError, TaxiError
from taxi_assets.months import month_text
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.reconcile.verify import SINKS
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse

Warehouse = PostgresWarehouse | BigQueryWarehouse
# Each holds a connection and a batch of rows, and two keep a server of two processors busy.
AT_ONCE = 2


@dataclass
class Summary:
    """What became of the months, over all warehouses."""

    loaded: int = 0
    equal: int = 0
    failed: int = 0
    rows: int = 0


def rebuild(
    lake: LakeResource,
    warehouses: Mapping[str, Warehouse],
    datasets: Sequence[Dataset],
    first: date = date.min,
    last: date = date.max,
    *,
    zones: bool = False,
    force: bool = False,
    say: Callable[[str], None],
) -> Summary:
    """Load the datasets' months from `first` to `last`, and the zones if asked for, into each of the warehouses.

    A month that fails is said with its reason, and the others go on. `force` loads also what equals the lake.

    Raises:
        ServiceError, ServiceUnavailableError: the lake or a warehouse cannot be asked at all.
    """
    tasks: list[tuple[str, Callable[[], int | None]]] = []
    for name, warehouse in warehouses.items():
        warehouse.migrate()
        if zones and (found := lake.find(ZONES_OBJECT)):
            tasks.append((f"zones in {SINKS[name][1]}", partial(_load_zones, lake, warehouse, found)))
    for dataset in datasets:
        months = {month: item for month, item in lake_objects(lake, dataset).items() if first <= month <= last}
        for name, warehouse in warehouses.items():
            held = {} if force else warehouse.month_rows(dataset, first, last)
            for month, item in months.items():
                what = f"{dataset.name} {month_text(month)} in {SINKS[name][1]}"
                tasks.append((what, partial(_load, lake, warehouse, dataset, month, item, held.get(month))))
    summary = Summary()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(load): what for what, load in tasks}
        try:
            for done in as_completed(running):
                say(f"{running[done]}: {_count(summary, done.result)}")
        except BaseException:
            # Ctrl-C: what has begun comes to its end, which leaves whole months.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return summary


def _count(summary: Summary, result: Callable[[], int | None]) -> str:
    try:
        rows = result()
    except TaxiError as error:
        summary.failed += 1
        return f"failed: {error}"
    if rows is None:
        summary.equal += 1
        return "equals the lake"
    summary.loaded += 1
    summary.rows += rows
    return f"{rows:,} rows loaded"


def _load(
    lake: LakeResource, warehouse: Warehouse, dataset: Dataset, month: date, item: LakeObject, held: int | None
) -> int | None:
    """Rows loaded; None if the month, of which the warehouse holds so many rows, needs no loading."""
    if "manifest" not in item.metadata:
        raise ServiceError(
            f"{item.uri} was overwritten by hand (it has no manifest); materialize {dataset.name}/clean_parquet and "
            "what comes after it again."
        )
    manifest = Manifest.from_json(item.metadata["manifest"])
    if held == manifest.kept.rows and not warehouse.month_totals(dataset, month).differences(manifest.kept):
        return None
    if isinstance(warehouse, BigQueryWarehouse):
        warehouse.replace_month(dataset, month, item.uri, manifest)
    else:
        with lake.borrowed(item.name) as path:
            warehouse.replace_month(dataset, month, path, manifest)
    return manifest.kept.rows


def _load_zones(lake: LakeResource, warehouse: Warehouse, item: LakeObject) -> int:
    rows = int(item.metadata["rows"])
    if isinstance(warehouse, BigQueryWarehouse):
        warehouse.replace_table(ZONES_TABLE, item.uri, rows)
    else:
        warehouse.replace_table(ZONES_TABLE, lake.fetch(item.name), rows)
    return rows
