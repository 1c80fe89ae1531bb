"""Assemble the definitions: assets, jobs and resources for an environment. Tests override single resources."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg

from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.alerts.sensor import INTERVAL_SECONDS, build_alerts_sensor
from taxi_assets.defs.assets import build_assets
from taxi_assets.defs.assets.history import build_history
from taxi_assets.defs.assets.marts import build_marts, build_marts_job, build_marts_sensor
from taxi_assets.defs.assets.models import build_duration_model, build_duration_pairs
from taxi_assets.defs.assets.published_file import build_published_files
from taxi_assets.defs.assets.reports import build_month_report, build_overview, build_reports_sensor
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.defs.ingestion.polling import POLLING_LIMITS, PollingLimits
from taxi_assets.defs.ingestion.sensors import build_months_sensor
from taxi_assets.defs.jobs import build_month_job
from taxi_assets.defs.operations.housekeeping import build_housekeeping
from taxi_assets.defs.operations.reconciliation import build_reconciliation
from taxi_assets.defs.operations.restarts import build_restart_sensor
from taxi_assets.defs.schedules import build_month_schedule
from taxi_assets.notifications.notifier import Notifier
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.source import SourceResource
from taxi_assets.runtime.run_executor import run_executor
from taxi_assets.sample.maker import SampleFiles
from taxi_assets.settings import Settings
from taxi_assets.spark.engine import SparkResource


def build_resources(settings: Settings) -> dict[str, Any]:
    """Build the resources. What may hold a secret stays the name of a variable until it is used."""
    local_url = settings.local_postgres_url("taxi") if settings.env == "local" else None
    return {
        "source": SourceResource(
            templates=dg.EnvVar("TAXI_SOURCE") if settings.is_set("source") else settings.source,
            zones=dg.EnvVar("TAXI_ZONES_SOURCE") if settings.is_set("zones_source") else settings.zones_source,
            zone_shapes=dg.EnvVar("TAXI_ZONE_SHAPES_SOURCE")
            if settings.is_set("zone_shapes_source")
            else settings.zone_shapes_source,
            allow_private=settings.source_allow_private,
            sample_rows=settings.sample_rows,
            sample=SampleFiles(),
        ),
        "lake": LakeResource(
            project=settings.gcp_project,
            bucket=settings.gcs_bucket,
            billed_project=settings.gcp_billed_project,
            data_dir=str(settings.data_dir),
            emulator_host=settings.storage_emulator_host,
        ),
        "bigquery": BigQueryWarehouse(
            project=settings.gcp_project,
            location=settings.bigquery_location,
            dataset=settings.bigquery_dataset,
            emulator_host=settings.bigquery_emulator_host,
        ),
        "postgres": PostgresWarehouse(
            url=dg.EnvVar("TAXI_POSTGRES_URL") if settings.is_set("postgres_url") else local_url
        ),
        "spark": SparkResource(
            kind=settings.spark,
            project=settings.gcp_project,
            region=settings.dataproc_region,
            cluster=settings.dataproc_cluster,
        ),
        "notifier": Notifier(
            webhook=dg.EnvVar("TAXI_ALERT_WEBHOOK") if settings.is_set("alert_webhook") else None,
            smtp_url=dg.EnvVar("TAXI_ALERT_SMTP_URL") if settings.is_set("alert_email") else None,
            email=dg.EnvVar("TAXI_ALERT_EMAIL") if settings.is_set("alert_email") else None,
        ),
    }


@contextmanager
def lake_and_warehouses(settings: Settings) -> Iterator[dict[str, Any]]:
    """Provide `lake`, `bigquery` and `postgres` as a run has them, for commands that need no run."""
    resources = build_resources(settings)
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(resources[name].process_config_and_initialize_cm())
            for name in ("lake", "bigquery", "postgres")
        }


def build_executor(settings: Settings) -> dg.ExecutorDefinition:
    """Return the executor of steps: the run's own process, or Celery workers."""
    if settings.executor == "celery":
        # Celery is an extra, which a laptop need not have.
        from taxi_assets.runtime.celery_executor import celery_executor

        return celery_executor(settings)
    # A run is a process of its own already; a process a step costs four times as long.
    return run_executor


def build_definitions(
    settings: Settings, resources: Mapping[str, Any] | None = None, limits: PollingLimits = POLLING_LIMITS
) -> dg.Definitions:
    """Build all definitions; `resources` override those of the same name, `limits` those of the sensors."""
    # A laptop starts nothing by itself; a deployment runs without anybody turning it on.
    enabled_by_default = settings.env == "cloud"
    reconciliation = build_reconciliation(enabled_by_default, limits)
    housekeeping = build_housekeeping(enabled_by_default)
    # One object each: Dagster takes a second one of the name, which a sensor requests, for another job.
    month_jobs = [build_month_job(dataset) for dataset in DATASETS.values()]
    reading = ReadingOptions(settings.zoned_times, settings.unknown_columns)
    return dg.Definitions(
        assets=[
            build_zones(),
            *build_published_files(),
            *(asset for dataset in DATASETS.values() for asset in build_assets(dataset, reading)),
            *(
                build(dataset)
                for dataset in DATASETS.values()
                for build in (build_duration_model, build_duration_pairs)
            ),
            *build_marts(),
            *build_history(),
            *(build_month_report(dataset) for dataset in DATASETS.values()),
            build_overview(),
            *reconciliation.assets,
            housekeeping.asset,
        ],
        jobs=[
            *month_jobs,
            build_marts_job(),
            reconciliation.job,
            housekeeping.job,
        ],
        schedules=[
            *(build_month_schedule(dataset, enabled_by_default) for dataset in DATASETS.values()),
            reconciliation.schedule,
            housekeeping.schedule,
        ],
        sensors=[
            *(build_months_sensor(dataset, limits, enabled_by_default) for dataset in DATASETS.values()),
            build_marts_sensor(enabled_by_default),
            build_reports_sensor(enabled_by_default),
            *reconciliation.sensors,
            build_restart_sensor(month_jobs, min(INTERVAL_SECONDS, limits.interval_seconds)),
            build_alerts_sensor(settings.ui_url, min(INTERVAL_SECONDS, limits.interval_seconds)),
        ],
        resources=build_resources(settings) | dict(resources or {}),
        executor=build_executor(settings),
    )
