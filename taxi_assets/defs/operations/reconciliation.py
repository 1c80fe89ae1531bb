"""The daily comparison of source, lake, BigQuery and PostgreSQL, and the sensors that request what it found missing.

It counts rows and compares fingerprints, which takes minutes at most; `taxi verify` also adds up the rows.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    DagsterEventType,
    DagsterInstance,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    MaterializeResult,
    MetadataValue,
    RunRequest,
    RunsFilter,
    ScheduleDefinition,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    TableColumn,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    asset,
    define_asset_job,
    sensor,
)

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.defs.assets import common
from taxi_assets.defs.ingestion.polling import PollResult, SensorState, plan
from taxi_assets.defs.ingestion.sensors import NEW_YORK, POLLING_LIMITS, PollingLimits, ask
from taxi_assets.defs.operations.active_runs import datasets_of, unfinished_runs
from taxi_assets.months import month_text
from taxi_assets.reconcile.compare import Finding, Places, compare, freshness
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.source import SourceResource
from taxi_assets.runtime.dagster_internals import AssetJobDefinition
from taxi_assets.runtime.load_status import LOADED, PUBLISHED, TABLES, TO_REPAIR, months_metadata
from taxi_assets.runtime.names import month_job_name, reconciliation_key

JOB, SCHEDULE = "reconciliation_job", "reconciliation_schedule"
# After the monthly schedule, and before people come to work in New York.
CRON = "0 7 * * *"
FRESH = "newest_month_is_loaded"
REPAIR_TAG = "taxi/repair"
# Repairs of a dataset that wait or run at the same time: a lost warehouse must not fill the queue.
MAX_REPAIRS = 10
SECONDS_BETWEEN_TICKS = 60
MAX_TABLE_ROWS = 500
_REPAIRS = "repairs"
_COLUMNS = ("month", "published", "lake_rows", "bigquery_rows", "postgres_rows", "finding")


@dataclass(frozen=True)
class Reconciliation:
    """The assets, the job, the schedule and the sensors of this module."""

    assets: list[AssetsDefinition]
    job: AssetJobDefinition
    schedule: ScheduleDefinition
    sensors: list[SensorDefinition]


def build_reconciliation(enabled_by_default: bool, limits: PollingLimits = POLLING_LIMITS) -> Reconciliation:
    """All of it; `enabled_by_default` says whether schedule and sensors are on until somebody turns them off."""
    assets = [build_reconciliation_asset(dataset, limits) for dataset in DATASETS.values()]
    job = define_asset_job(
        JOB,
        AssetSelection.assets(*(item.key for item in assets)),
        description="Compares what is published, in the lake and in both warehouses, for all datasets.",
    )
    schedule = ScheduleDefinition(
        SCHEDULE,
        job_name=JOB,
        cron_schedule=CRON,
        execution_timezone=NEW_YORK.key,
        default_status=DefaultScheduleStatus.RUNNING if enabled_by_default else DefaultScheduleStatus.STOPPED,
        description="Every day, the comparison of all datasets.",
    )
    return Reconciliation(
        assets, job, schedule, [build_repair_sensor(dataset, enabled_by_default) for dataset in DATASETS.values()]
    )


def build_reconciliation_asset(dataset: Dataset, limits: PollingLimits) -> AssetsDefinition:
    """The asset `operations/<dataset>_reconciliation`."""
    key = reconciliation_key(dataset.name)

    @asset(
        key=key,
        group_name="operations",
        kinds={"table"},
        check_specs=[
            AssetCheckSpec(
                FRESH,
                asset=key,
                description="The newest published month is loaded everywhere; one behind warns, more fails.",
            )
        ],
        retry_policy=common.RETRIES,
        description=f"""{dataset.title}: one row a month that is not everywhere as it should be.

Compares what the source is seen to publish, the lake, BigQuery and PostgreSQL, by rows and by raw file. A rerun
compares anew. `{dataset.name}_repair_sensor` then requests the months in the table.""",
    )
    def reconciliation(
        context: AssetExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        bigquery: BigQueryWarehouse,
        postgres: PostgresWarehouse,
    ) -> MaterializeResult:
        with common.as_dagster_failure(context):
            objects = lake_objects(lake, dataset)
            result = _look(dataset, objects, source, limits)
            places = Places(
                published=set(result.found),
                lake={m: _manifest(o.metadata) for m, o in objects.items()},
                bigquery=bigquery.month_rows(dataset),
                postgres=postgres.month_rows(dataset),
                loaded_from={m: found.raw_sha256 for m, found in postgres.loaded_manifests(dataset).items()},
            )
        findings = compare(places)
        fresh = freshness(places)
        for finding in findings:
            context.log.warning("%s %s: %s", dataset.name, month_text(finding.month), finding.what)
        context.log.info("%s months loaded, %s that differ", len(places.loaded), len(findings))
        if result.trouble:
            context.log.warning("The source was not asked to the end: %s", result.trouble)
        return MaterializeResult(
            metadata={
                "dagster/row_count": len(findings),
                "differences": _table(findings, places),
                "months_loaded": len(places.loaded),
                "months_behind": fresh.behind if fresh.behind is not None else "nothing is loaded",
                "source_asked": _asked(result),
                PUBLISHED: months_metadata(sorted(result.found)),
                LOADED: months_metadata(places.loaded),
                TO_REPAIR: months_metadata(sorted(finding.month for finding in findings)),
                _REPAIRS: MetadataValue.json({f.month.isoformat(): f.what for f in findings}),
            },
            check_results=[
                AssetCheckResult(
                    check_name=FRESH,
                    passed=not fresh.warns,
                    severity=AssetCheckSeverity.ERROR if fresh.fails else AssetCheckSeverity.WARN,
                    description=fresh.description,
                )
            ],
        )

    return reconciliation


def build_repair_sensor(dataset: Dataset, enabled_by_default: bool) -> SensorDefinition:
    """The sensor `<dataset>_repair_sensor`, which asks only Dagster's database."""

    @sensor(
        name=f"{dataset.name}_repair_sensor",
        job_name=month_job_name(dataset.name),
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=DefaultSensorStatus.RUNNING if enabled_by_default else DefaultSensorStatus.STOPPED,
        description=f"Requests the months of {dataset.name} that the latest reconciliation found missing or different, "
        f"at most {MAX_REPAIRS} at a time, unless they are being loaded.",
    )
    def repair_sensor(context: SensorEvaluationContext) -> SensorResult | SkipReason:
        key = AssetKey(reconciliation_key(dataset.name))
        records = context.instance.fetch_materializations(key, limit=1).records
        if not records or records[0].asset_materialization is None:
            return SkipReason("There was no reconciliation yet.")
        latest = records[0].storage_id
        asked = _requested(context.cursor, latest)
        repairs: dict[str, str] = _value(records[0].asset_materialization.metadata.get(_REPAIRS)) or {}
        unfinished = [run for run in unfinished_runs(context.instance) if dataset.name in datasets_of(run)]
        busy = {run.tags.get("dagster/partition") for run in unfinished}
        open_ = [p for p in repairs if p not in asked]
        since = _loaded_since(context.instance, dataset, open_, latest)
        free = MAX_REPAIRS - sum(REPAIR_TAG in run.tags for run in unfinished)
        requests = [
            RunRequest(
                run_key=f"repair:{dataset.name}:{partition}:{_digest(context.instance, dataset, partition, what)}",
                partition_key=partition,
                tags={REPAIR_TAG: what[:200]},
            )
            for partition, what in sorted(repairs.items(), reverse=True)
            if partition in open_ and partition not in busy and partition not in since
        ][: max(0, free)]
        cursor = json.dumps({"reconciliation": latest, "requested": [*asked, *(r.partition_key for r in requests)]})
        waiting = len(open_) - len(since) - len(requests)
        said = (
            f"{len(repairs)} months differed, {len(asked)} requested before, {len(since)} loaded since, {waiting} wait."
        )
        return SensorResult(requests, skip_reason=None if requests else SkipReason(said), cursor=cursor)

    return repair_sensor


def _look(dataset: Dataset, loaded: Iterable[date], source: SourceResource, limits: PollingLimits) -> PollResult:
    """What the source says of the recent months that are not in the lake; those that are need not be asked for."""
    today = datetime.now(NEW_YORK).date()
    wanted = replace(plan(dataset.first_month, today, loaded, SensorState(), limits.months), sweep=())
    return ask(wanted, lambda month: source.probe(dataset.name, month, limits.retry), limits)


def _asked(result: PollResult) -> str:
    absent = ", ".join(map(month_text, sorted(result.not_published))) or "none"
    said = f"found {months_metadata(sorted(result.found))}; not published: {absent}"
    return f"{said}; ended early: {result.trouble}" if result.trouble else said


def _manifest(metadata: Any) -> Manifest | None:
    return Manifest.from_json(metadata["manifest"]) if "manifest" in metadata else None


def _table(findings: list[Finding], places: Places) -> TableMetadataValue:
    """The findings for people, newest first; a lost warehouse would fill more than a page."""
    rows = []
    for finding in findings[:MAX_TABLE_ROWS]:
        month = finding.month
        manifest = places.lake.get(month)
        cells = (
            month_text(month),
            "yes" if month in places.published or month in places.lake else "not asked",
            str(manifest.kept.rows) if manifest else "-",
            str(places.bigquery.get(month, "-")),
            str(places.postgres.get(month, "-")),
            finding.what,
        )
        rows.append(TableRecord(dict(zip(_COLUMNS, cells, strict=True))))
    return MetadataValue.table(rows, schema=TableSchema([TableColumn(name, "string") for name in _COLUMNS]))


def _requested(cursor: str | None, latest: int) -> list[str]:
    """The partitions already requested for this reconciliation."""
    try:
        kept = json.loads(cursor or "")
        return list(kept["requested"]) if kept["reconciliation"] == latest else []
    except (ValueError, KeyError, TypeError):
        return []


def _value(value: Any) -> Any:
    return getattr(value, "value", None)


def _loaded_since(instance: DagsterInstance, dataset: Dataset, partitions: list[str], latest: int) -> set[str]:
    """The partitions that both warehouses were given after the reconciliation."""
    if not partitions:
        return set()
    both = [
        instance.get_latest_storage_id_by_partition(
            AssetKey([dataset.name, name]), DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
        )
        for name in TABLES
    ]
    return {p for p in partitions if all(found.get(p, 0) > latest for found in both)}


def _digest(instance: DagsterInstance, dataset: Dataset, partition: str, what: str) -> str:
    """Names what was found and the last attempt before it, so that a repair that failed can be asked for again."""
    same = RunsFilter(job_name=month_job_name(dataset.name), tags={"dagster/partition": partition})
    last = next((run.run_id for run in instance.get_runs(same, limit=1)), "")
    return hashlib.sha256(f"{what} {last}".encode()).hexdigest()[:12]
