"""What `taxi demo` does: a few months through all five assets, into marts and on a page of charts, a line a step."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from taxi_assets.cli.month_runs import results_table, run_month
from taxi_assets.cli.progress import progress
from taxi_assets.cli.report import publish_missing_zones, write_site
from taxi_assets.cli.tables import table
from taxi_assets.contract.datasets import Dataset, dataset
from taxi_assets.defs.assets.marts import manifests_of, marts_state
from taxi_assets.defs.build import build_definitions, lake_and_warehouses
from taxi_assets.download.fingerprint import redact
from taxi_assets.errors import ServiceError, TaxiError
from taxi_assets.local.environment import environment
from taxi_assets.local.stack import AlreadyRunningError, Stack
from taxi_assets.marts.marts import Marts
from taxi_assets.months import month_text
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.source import SAMPLE_SOURCE
from taxi_assets.resources.warehouse import WAREHOUSES
from taxi_assets.settings import Settings

DATASETS = ("yellow", "green")
# One month of each era: coordinates, zones in CSV, Parquet.
MONTHS = (date(2015, 1, 1), date(2020, 4, 1), date(2024, 1, 1))


def run_demo(settings: Settings, datasets: Sequence[str], months: Sequence[date], log: Callable[[str], None]) -> None:
    """Materialize the months of the datasets and print the results. Services stop again if they were not running.

    Raises:
        ServiceError: A step failed; it is named with its reason.
        SettingsError: No such dataset, or no such month of it.
    """
    chosen = [dataset(name) for name in datasets]
    for item in chosen:
        for month in months:
            item.check_month(month)
    os.environ.update(environment(settings))
    stack = Stack(settings, dagster=False, report=lambda service, seconds: log(f"✓ {service.name} {seconds:.1f} s"))
    try:
        stack.start()
    except AlreadyRunningError:
        log("Using the services that `taxi up` has running.")
        address = _run(chosen, months, log)
    else:
        try:
            address = _run(chosen, months, log)
        finally:
            stack.stop()
            log("Stopped the services; the data stays. `taxi up` starts them again, with Dagster's UI.")
    if address is not None:
        log(f"The charts of what is loaded: {address.as_uri()}")


def _run(datasets: Sequence[Dataset], months: Sequence[date], log: Callable[[str], None]) -> Path | None:
    """Load the months and draw them; return the path of the overview, None if it could not be drawn."""
    settings = Settings.from_environment()
    definitions = build_definitions(settings)
    log("Source: " + (SAMPLE_SOURCE if settings.source == "sample" else redact(settings.source)))
    runs = []
    with dg.DagsterInstance.get() as instance, progress(None, log) as watch:
        for item in datasets:
            for month in months:
                runs.append(run_month(definitions, instance, item, month, watch(f"{item.name:<6} {month_text(month)}")))
                if runs[-1].failure is not None:
                    raise ServiceError(f"{runs[-1].title} failed at {runs[-1].failure}")
    log("\n" + results_table(settings, runs) + "\n")
    with lake_and_warehouses(settings) as resources:
        publish_missing_zones(settings, resources, log)
        _answer(resources, datasets, months, log)
    try:
        return write_site(settings, None, log)
    except TaxiError as error:
        # The months are loaded; charts are an extra.
        log(f"No charts: {error}")
        return None


def _answer(
    resources: Mapping[str, Any], datasets: Sequence[Dataset], months: Sequence[date], log: Callable[[str], None]
) -> None:
    """Make the marts of the months in both warehouses, and print what a trip cost in each."""
    lake = resources["lake"]
    made = [Marts(resources[name], marts_state(lake)) for name in WAREHOUSES]
    log("Making the marts of these months, which takes about a minute ...")
    with ThreadPoolExecutor(len(made)) as pool:
        for label in pool.map(lambda marts: _make(lake, marts, datasets, months), made):
            log(f"✓ marts in {label}")
    shown = ", ".join(f"DATE '{month}'" for month in months)
    _, rows = made[-1].query(
        "SELECT source_month, company, SUM(net_trips), SUM(total_usd) / SUM(net_trips), "
        "COALESCE(SUM(tip_usd), 0) / SUM(net_trips) "
        f"FROM {made[-1].name('revenue_zone_month')} WHERE source_month IN ({shown}) "
        "AND total_usd IS NOT NULL GROUP BY source_month, company HAVING SUM(net_trips) > 0 "
        "ORDER BY company, source_month"
    )
    lines = [
        (str(m)[:7], company, f"{trips:,}", f"{total:.2f}", f"{tip:.2f}") for m, company, trips, total, tip in rows
    ]
    if not lines:
        return  # fhv has no money
    log("\nWhat did a trip cost? US dollars, from the marts; cash tips are in no file.\n")
    log(table([("month", "service", "trips", "total", "of it tip"), *lines], numbers=range(2, 5)))
    log(
        f"\nThe same is in {' and '.join(marts.name('revenue_zone_month') for marts in made)}; "
        "docs/marts.md has the other tables.\n"
    )


def _make(lake: LakeResource, marts: Marts, datasets: Sequence[Dataset], months: Sequence[date]) -> str:
    for item in datasets:
        marts.make_months(item, months, manifests_of(lake, item, list(months)))
    marts.make_views()
    return marts.label
