"""What `taxi materialize` does: months through all five assets, with their progress, and a table at the end."""

import os
from collections.abc import Callable
from datetime import date

import dagster as dg

from taxi_assets.cli.month_runs import MonthRun, results_table, run_month
from taxi_assets.cli.progress import progress
from taxi_assets.contract.datasets import Dataset, dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.defs.build import build_definitions, lake_and_warehouses
from taxi_assets.defs.partitions import monthly
from taxi_assets.errors import ServiceError, SettingsError
from taxi_assets.local import state
from taxi_assets.local.environment import environment, missing
from taxi_assets.months import month_text, next_month, parse_span
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.settings import Settings


def materialize(settings: Settings, name: str, span: str, *, force: bool, log: Callable[[str], None]) -> list[MonthRun]:
    """Materialize the months of a dataset, one after the other; return those that failed.

    Raises:
        SettingsError: No such dataset, or no such month of it; or a variable is missing.
        ServiceError: The local stack does not run.
    """
    item = dataset(name)
    months = _months(item, span)
    require_services(settings)
    os.environ.update(environment(settings))
    definitions, runs = build_definitions(Settings.from_environment()), []
    with dg.DagsterInstance.get() as instance, progress(_usual_rows(settings, item), log) as watch:
        for month in months:
            report = watch(f"{item.name} {month_text(month)}")
            runs.append(run_month(definitions, instance, item, month, report, force=force))
    succeeded = [run for run in runs if run.failure is None]
    if succeeded:
        log("\n" + results_table(settings, succeeded))
    return [run for run in runs if run.failure is not None]


def _months(item: Dataset, span: str) -> list[date]:
    """Return the months of the span.

    Raises:
        SettingsError: It is no span, or a month lies outside of those that the dataset has.
    """
    month, last = parse_span(span)
    item.check_month(month)
    newest = monthly(item).get_last_partition_key()
    if newest is None or last.isoformat() > newest:
        raise SettingsError(
            f"{item.name} {month_text(last)} has not ended; the newest month to load is {(newest or '')[:7]}."
        )
    months = []
    while month <= last:
        months.append(month)
        month = next_month(month)
    return months


def require_services(settings: Settings) -> None:
    """Check that the services are there that a run needs.

    Raises:
        SettingsError: A variable is missing.
        ServiceError: The local stack does not run.
    """
    if settings.env == "cloud":
        if names := missing(settings):
            raise SettingsError(f"TAXI_ENV=cloud also needs {', '.join(names)}; set them as in .env.example.")
        return
    running = state.read(settings.data_dir)
    if running is None or not running.supervised():
        raise ServiceError(
            f"No local stack runs in {settings.data_dir}; start one by `taxi up --detach`, then run this again."
        )


def _usual_rows(settings: Settings, item: Dataset) -> int | None:
    """Return the rows of the newest month in the lake, as an estimate for others; None if there is none."""
    with lake_and_warehouses(settings) as resources:
        objects = list(lake_objects(resources["lake"], item).values())
    texts = [found.metadata["manifest"] for found in objects if "manifest" in found.metadata]
    return Manifest.from_json(texts[-1]).raw_rows if texts else None
