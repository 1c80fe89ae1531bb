"""Load warehouses from the lake alone, and marts from the tables: for a warehouse that was lost, or is new.

Nothing is downloaded from the source or cleaned. It can be stopped and repeated: what equals the lake is skipped.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import date
from functools import partial

import pyarrow.parquet as pq

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import WHOLE_TABLE_OBJECTS
from taxi_assets.errors import ServiceError, TaxiError
from taxi_assets.marts.marts import Marts
from taxi_assets.months import month_text
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.resources.warehouse import Warehouse

# Each load holds a connection and a batch of rows; two keep a server with two processors busy.
AT_ONCE = 2


@dataclass
class Summary:
    """The results of the months, over all warehouses."""

    loaded: int = 0
    equal: int = 0
    failed: int = 0
    rows: int = 0


def rebuild(
    lake: LakeResource,
    warehouses: Sequence[Warehouse],
    datasets: Sequence[Dataset],
    first: date = date.min,
    last: date = date.max,
    *,
    whole_tables: bool = False,
    force: bool = False,
    log: Callable[[str], None],
) -> Summary:
    """Load the datasets' months from `first` to `last`, and with `whole_tables` what is not by month, too.

    A month that fails is logged with its reason, and the others continue. `force` also loads what equals the lake.

    Raises:
        ServiceError: The lake or a warehouse is not as needed.
        ServiceUnavailableError: The lake or a warehouse does not respond.
    """
    tasks: list[tuple[str, Callable[[], int | None]]] = []
    for warehouse in warehouses:
        warehouse.ensure_tables()
        for table, name in WHOLE_TABLE_OBJECTS.items() if whole_tables else ():
            if found := lake.find(name):
                tasks.append((f"{table} in {warehouse.label}", partial(_load_table, lake, warehouse, table, found)))
    for dataset in datasets:
        months = {month: item for month, item in lake_objects(lake, dataset).items() if first <= month <= last}
        for warehouse in warehouses:
            held = {} if force else warehouse.month_rows(dataset, first, last)
            for month, item in months.items():
                what = f"{dataset.name} {month_text(month)} in {warehouse.label}"
                tasks.append((what, partial(_load, lake, warehouse, dataset, month, item, held.get(month))))
    return _run(tasks, log)


def rebuild_marts(
    lake: LakeResource,
    marts: Sequence[Marts],
    datasets: Sequence[Dataset],
    first: date = date.min,
    last: date = date.max,
    *,
    anew: bool = False,
    log: Callable[[str], None],
) -> Summary:
    """Make the marts of the datasets' months from `first` to `last` from the warehouses' tables, and the views.

    `anew` drops all tables of marts before. Months whose tables failed are logged with the reason, and the others
    continue.

    Raises:
        ServiceError: The lake or a warehouse is not as needed.
        ServiceUnavailableError: The lake or a warehouse does not respond.
    """
    manifests = {
        dataset.name: {
            month: Manifest.from_json(item.metadata["manifest"])
            for month, item in lake_objects(lake, dataset).items()
            if first <= month <= last and "manifest" in item.metadata
        }
        for dataset in datasets
    }
    summary = Summary()
    for made in marts:
        made.warehouse.ensure_tables()
        if anew:
            made.drop_tables()
        for dataset in datasets:
            for months in made.months_at_once(dataset, first, last):
                what = f"{dataset.name} {month_text(months[0])}..{month_text(months[-1])}, marts in {made.label}"
                known = {m: manifest for m, manifest in manifests[dataset.name].items() if m in months}
                log(f"{what}: {_count_marts(summary, made, dataset, months, known)}")
        made.make_views()
    return summary


def _count_marts(
    summary: Summary, marts: Marts, dataset: Dataset, months: Sequence[date], manifests: Mapping[date, Manifest]
) -> str:
    try:
        tests = marts.make_months(dataset, months, manifests)
    except TaxiError as error:
        summary.failed += len(months)
        return f"failed: {error}"
    summary.loaded += len(months)
    failed = [f"{test.name} ({test.message})" for test in tests if test.status != "pass"]
    return f"{len(months)} months made" + (f"; tests failed: {', '.join(failed)}" if failed else "")


def _run(tasks: Sequence[tuple[str, Callable[[], int | None]]], log: Callable[[str], None]) -> Summary:
    """Run the tasks, `AT_ONCE` at a time, and log the result of each."""
    summary = Summary()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(load): what for what, load in tasks}
        try:
            for done in as_completed(running):
                log(f"{running[done]}: {_count(summary, done.result)}")
        except BaseException:
            # Ctrl-C: loads that have begun finish, which leaves whole months.
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
    """Load a month and return its rows; return None if the warehouse holds it already, `held` rows of it."""
    if "manifest" not in item.metadata:
        raise ServiceError(
            f"{item.uri} was overwritten by hand (it has no manifest); materialize {dataset.name}/clean_parquet and "
            "what comes after it again."
        )
    manifest = Manifest.from_json(item.metadata["manifest"])
    if held == manifest.kept.rows and not warehouse.month_totals(dataset, month).differences(manifest.kept):
        return None
    # Without local copies: all months at once may fill a disk.
    warehouse.replace_month(dataset, month, lake.file(item, keep=False), manifest)
    return manifest.kept.rows


def _load_table(lake: LakeResource, warehouse: Warehouse, table: str, item: LakeObject) -> int:
    rows: int = pq.read_metadata(lake.fetch(item.name)).num_rows
    warehouse.replace_table(table, lake.file(item), rows)
    return rows
