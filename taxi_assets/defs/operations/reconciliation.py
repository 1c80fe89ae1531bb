"""The daily comparison of source, lake, BigQuery and PostgreSQL, and the sensors that request what it found missing.

It counts rows and compares fingerprints, which takes minutes at most; `taxi verify` also adds up the rows.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import dagster as dg

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.defs.assets import common
from taxi_assets.defs.assets.marts import marts_state
from taxi_assets.defs.ingestion.polling import (
    NEW_YORK,
    POLLING_LIMITS,
    PollingLimits,
    PollResult,
    SensorState,
    plan,
    poll,
)
from taxi_assets.defs.operations.active_runs import datasets_of, unfinished_runs
from taxi_assets.marts.marts import Marts
from taxi_assets.months import month_text
from taxi_assets.reconcile.compare import Finding, Places, compare, freshness
from taxi_assets.reconcile.inventory import lake_objects, newest_raw_files
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

    assets: list[dg.AssetsDefinition]
    job: AssetJobDefinition
    schedule: dg.ScheduleDefinition
    sensors: list[dg.SensorDefinition]


def build_reconciliation(enabled_by_default: bool, limits: PollingLimits = POLLING_LIMITS) -> Reconciliation:
    """Build all definitions; `enabled_by_default` sets the initial state of schedule and sensors."""
    assets = [build_reconciliation_asset(dataset, limits) for dataset in DATASETS.values()]
    job = dg.define_asset_job(
        JOB,
        dg.AssetSelection.assets(*(item.key for item in assets)),
        description="Compares what is published, in the lake and in both warehouses, for all datasets.",
    )
    schedule = dg.ScheduleDefinition(
        SCHEDULE,
        job_name=JOB,
        cron_schedule=CRON,
        execution_timezone=NEW_YORK.key,
        default_status=dg.DefaultScheduleStatus.RUNNING if enabled_by_default else dg.DefaultScheduleStatus.STOPPED,
        description="Every day, the comparison of all datasets.",
    )
    return Reconciliation(
        assets, job, schedule, [build_repair_sensor(dataset, enabled_by_default) for dataset in DATASETS.values()]
    )


def build_reconciliation_asset(dataset: Dataset, limits: PollingLimits) -> dg.AssetsDefinition:
    """Build the asset `operations/<dataset>_reconciliation`."""
    key = reconciliation_key(dataset.name)

    @dg.asset(
        key=key,
        group_name="operations",
        kinds={"table"},
        owners=common.OWNERS,
        tags={"layer": "operations"},
        check_specs=[
            dg.AssetCheckSpec(
                FRESH,
                asset=key,
                description="The newest published month is loaded everywhere; one behind warns, more fails.",
            )
        ],
        description=f"""{dataset.title}: one row a month that is not everywhere as it should be.

Compares what the source is seen to publish, the lake, BigQuery and PostgreSQL, by rows and by raw file, and names
months whose marts have not the rows of their tables. A rerun compares anew.
`{dataset.name}_repair_sensor` then requests the months in the table.""",
    )
    def reconciliation(
        context: dg.AssetExecutionContext,
        source: SourceResource,
        lake: LakeResource,
        bigquery: BigQueryWarehouse,
        postgres: PostgresWarehouse,
    ) -> dg.MaterializeResult:
        with common.as_dagster_failure(context):
            objects = lake_objects(lake, dataset)
            result = _poll_recent(dataset, objects, source, limits)
            places = Places(
                published=set(result.found),
                lake={m: _manifest(o.metadata) for m, o in objects.items()},
                bigquery=bigquery.month_rows(dataset),
                postgres=postgres.month_rows(dataset),
                loaded_from={m: found.raw_sha256 for m, found in postgres.loaded_manifests(dataset).items()},
                raw={m: found.metadata["sha256"] for m, found in newest_raw_files(lake, dataset).items()},
            )
            behind = {
                marts.label: marts.months_behind(dataset, rows)
                for marts, rows in (
                    (Marts(bigquery, marts_state(lake)), places.bigquery),
                    (Marts(postgres, marts_state(lake)), places.postgres),
                )
            }
        findings = compare(places)
        fresh = freshness(places)
        for finding in findings:
            context.log.warning("%s %s: %s", dataset.name, month_text(finding.month), finding.what)
        late = "; ".join(f"{label}: {months_metadata(months)}" for label, months in behind.items() if months)
        if late:
            context.log.warning("%s: the marts are not those of the tables: %s", dataset.name, late)
        context.log.info("%s months loaded, %s that differ", len(places.loaded), len(findings))
        if result.trouble:
            context.log.warning("The source was not polled to the end: %s", result.trouble)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(findings),
                "differences": _table(findings, places),
                "months_loaded": len(places.loaded),
                "months_behind": fresh.behind if fresh.behind is not None else "nothing is loaded",
                "marts_behind": late or "none",
                "source_asked": _poll_text(result),
                PUBLISHED: months_metadata(sorted(result.found)),
                LOADED: months_metadata(places.loaded),
                TO_REPAIR: months_metadata(sorted(finding.month for finding in findings)),
                _REPAIRS: dg.MetadataValue.json({f.month.isoformat(): f.what for f in findings}),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name=FRESH,
                    passed=not fresh.warns,
                    severity=dg.AssetCheckSeverity.ERROR if fresh.fails else dg.AssetCheckSeverity.WARN,
                    description=fresh.description,
                )
            ],
        )

    return reconciliation


def build_repair_sensor(dataset: Dataset, enabled_by_default: bool) -> dg.SensorDefinition:
    """Build the sensor `<dataset>_repair_sensor`, which queries only Dagster's database."""

    @dg.sensor(
        name=f"{dataset.name}_repair_sensor",
        job_name=month_job_name(dataset.name),
        minimum_interval_seconds=SECONDS_BETWEEN_TICKS,
        default_status=dg.DefaultSensorStatus.RUNNING if enabled_by_default else dg.DefaultSensorStatus.STOPPED,
        description=f"Requests the months of {dataset.name} that the latest reconciliation found missing or different, "
        f"at most {MAX_REPAIRS} at a time, unless they are being loaded.",
    )
    def repair_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        key = dg.AssetKey(reconciliation_key(dataset.name))
        records = context.instance.fetch_materializations(key, limit=1).records
        if not records or records[0].asset_materialization is None:
            return dg.SkipReason("There was no reconciliation yet.")
        latest = records[0].storage_id
        requested = _requested(context.cursor, latest)
        repairs: dict[str, str] = _value(records[0].asset_materialization.metadata.get(_REPAIRS)) or {}
        unfinished = [run for run in unfinished_runs(context.instance) if dataset.name in datasets_of(run)]
        busy = {run.tags.get("dagster/partition") for run in unfinished}
        open_ = [p for p in repairs if p not in requested]
        since = _loaded_since(context.instance, dataset, open_, latest)
        free = MAX_REPAIRS - sum(REPAIR_TAG in run.tags for run in unfinished)
        requests = [
            dg.RunRequest(
                run_key=f"repair:{dataset.name}:{partition}:{_digest(context.instance, dataset, partition, what)}",
                partition_key=partition,
                tags={REPAIR_TAG: what[:200]},
            )
            for partition, what in sorted(repairs.items(), reverse=True)
            if partition in open_ and partition not in busy and partition not in since
        ][: max(0, free)]
        cursor = json.dumps({"reconciliation": latest, "requested": [*requested, *(r.partition_key for r in requests)]})
        waiting = len(open_) - len(since) - len(requests)
        summary = (
            f"{len(repairs)} months differed, {len(requested)} requested before, "
            f"{len(since)} loaded since, {waiting} wait."
        )
        return dg.SensorResult(requests, skip_reason=None if requests else dg.SkipReason(summary), cursor=cursor)

    return repair_sensor


def _poll_recent(dataset: Dataset, loaded: Iterable[date], source: SourceResource, limits: PollingLimits) -> PollResult:
    """Poll the source for recent months that are not in the lake."""
    today = datetime.now(NEW_YORK).date()
    wanted = replace(plan(dataset.first_month, today, loaded, SensorState(), limits.months), sweep=())
    return poll(wanted, lambda month: source.probe(dataset.name, month, limits.retry), limits)


def _poll_text(result: PollResult) -> str:
    absent = ", ".join(map(month_text, sorted(result.not_published))) or "none"
    text = f"found {months_metadata(sorted(result.found))}; not published: {absent}"
    return f"{text}; ended early: {result.trouble}" if result.trouble else text


def _manifest(metadata: Any) -> Manifest | None:
    return Manifest.from_json(metadata["manifest"]) if "manifest" in metadata else None


def _table(findings: list[Finding], places: Places) -> dg.TableMetadataValue:
    """Return the findings as a table, newest first and limited in length."""
    rows = []
    for finding in findings[:MAX_TABLE_ROWS]:
        month = finding.month
        manifest = places.lake.get(month)
        cells = (
            month_text(month),
            "yes" if month in places.published or month in places.lake else "not requested",
            str(manifest.kept.rows) if manifest else "-",
            str(places.bigquery.get(month, "-")),
            str(places.postgres.get(month, "-")),
            finding.what,
        )
        rows.append(dg.TableRecord(dict(zip(_COLUMNS, cells, strict=True))))
    return dg.MetadataValue.table(rows, schema=dg.TableSchema([dg.TableColumn(name, "string") for name in _COLUMNS]))


def _requested(cursor: str | None, latest: int) -> list[str]:
    """Return the partitions already requested for this reconciliation."""
    try:
        kept = json.loads(cursor or "")
        return list(kept["requested"]) if kept["reconciliation"] == latest else []
    except (ValueError, KeyError, TypeError):
        return []


def _value(value: Any) -> Any:
    return getattr(value, "value", None)


def _loaded_since(instance: dg.DagsterInstance, dataset: Dataset, partitions: list[str], latest: int) -> set[str]:
    """Return the partitions that both warehouses were given after the reconciliation."""
    if not partitions:
        return set()
    both = [
        instance.get_latest_storage_id_by_partition(
            dg.AssetKey([dataset.name, name]), dg.DagsterEventType.ASSET_MATERIALIZATION, set(partitions)
        )
        for name in TABLES
    ]
    return {p for p in partitions if all(found.get(p, 0) > latest for found in both)}


def _digest(instance: dg.DagsterInstance, dataset: Dataset, partition: str, what: str) -> str:
    """Return a digest of the finding and the last attempt, so that a failed repair can be requested again."""
    same = dg.RunsFilter(job_name=month_job_name(dataset.name), tags={"dagster/partition": partition})
    last = next((run.run_id for run in instance.get_runs(same, limit=1)), "")
    return hashlib.sha256(f"{what} {last}".encode()).hexdigest()[:12]
