"""What `taxi demo` does: a few months through all five assets, a line a step, a table, and a page of charts."""

import os
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import dagster as dg

from taxi_assets.cli.month_runs import results_table, run_month
from taxi_assets.cli.progress import progress
from taxi_assets.cli.report import write_site
from taxi_assets.contract.datasets import Dataset, dataset
from taxi_assets.defs.build import build_definitions
from taxi_assets.download.fingerprint import redact
from taxi_assets.errors import ServiceError, TaxiError
from taxi_assets.local.environment import environment
from taxi_assets.local.stack import AlreadyRunningError, Stack
from taxi_assets.months import month_text
from taxi_assets.resources.source import SAMPLE_SOURCE
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
    try:
        return write_site(settings, None, log)
    except TaxiError as error:
        # The months are loaded; charts are an extra.
        log(f"No charts: {error}")
        return None
