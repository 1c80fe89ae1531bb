"""What `taxi demo` does: a few months through all five assets, a line a step, and a table at the end."""

import os
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import date

import dagster as dg

from taxi_assets.cli.tables import table
from taxi_assets.contract.datasets import Dataset, dataset
from taxi_assets.defs.assets.common import published_month
from taxi_assets.defs.build import build_definitions, lake_and_warehouses
from taxi_assets.download.fingerprint import redact
from taxi_assets.errors import ServiceError
from taxi_assets.local.environment import environment
from taxi_assets.local.stack import AlreadyRunningError, Stack
from taxi_assets.months import month_text
from taxi_assets.resources.source import SAMPLE_SOURCE
from taxi_assets.settings import Settings

DATASETS = ("yellow", "green")
# One month of each era: coordinates, zones in CSV, Parquet.
MONTHS = (date(2015, 1, 1), date(2020, 4, 1), date(2024, 1, 1))

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


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
        _run(chosen, months, log)
        return
    try:
        _run(chosen, months, log)
    finally:
        stack.stop()
        log("Stopped the services; the data stays. `taxi up` starts them again, with Dagster's UI.")


def _run(datasets: Sequence[Dataset], months: Sequence[date], log: Callable[[str], None]) -> None:
    settings = Settings.from_environment()
    definitions = build_definitions(settings)
    log("Source: " + (SAMPLE_SOURCE if settings.source == "sample" else redact(settings.source)))
    counts = ("raw rows", "kept", "rejected", "BigQuery", "PostgreSQL")
    rows: list[tuple[str, ...]] = [("dataset", "month", *counts, "seconds", "rejected by reason")]
    with dg.DagsterInstance.get() as instance:
        for item in datasets:
            for month in months:
                seconds = _materialize(definitions, instance, item, month, log)
                rows.append(_row(settings, item, month, seconds))
    log("\n" + table(rows, numbers=range(2, 8)) + "\n")


def _materialize(
    definitions: dg.Definitions, instance: dg.DagsterInstance, item: Dataset, month: date, log: Callable[[str], None]
) -> float:
    """Run the month's job in this process; report its steps as they end, and return the seconds."""
    run_id = str(uuid.uuid4())
    failed: list[str] = []

    def report(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        step = f"{item.name:<6} {month_text(month)}  {event.step_key.removeprefix(item.name + '__'):<15}"
        if event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            log(f"{step} ✓ {event.step_success_data.duration_ms / 1000:.1f} s")
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            failed.append(_reason(event))
            log(f"{step} ✗ {failed[-1]}")
        elif event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            log(f"{step} … tried again soon")

    instance.add_event_listener(run_id, report)
    started = time.monotonic()
    result = definitions.resolve_job_def(f"{item.name}_month_job").execute_in_process(
        run_config=_QUIET,
        partition_key=month.isoformat(),
        instance=instance,
        run_id=run_id,
        raise_on_error=False,
    )
    if not result.success:
        raise ServiceError(f"{item.name} {month_text(month)} failed: {failed[0] if failed else 'see above'}")
    return time.monotonic() - started


def _reason(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return data.error.message.strip() if data.error else "no reason was given"


def _row(settings: Settings, item: Dataset, month: date, seconds: float) -> tuple[str, ...]:
    """Return the month as the lake and the warehouses hold it now."""
    with lake_and_warehouses(settings) as resources:
        _, manifest = published_month(resources["lake"], item, month)
        loaded = [resources[name].month_totals(item, month).rows for name in ("bigquery", "postgres")]
    counts = (manifest.raw_rows, manifest.kept.rows, manifest.rejected_rows, *loaded)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in manifest.rejected.items() if count)
    return (item.name, month_text(month), *(f"{n:,}" for n in counts), f"{seconds:.1f}", reasons)
