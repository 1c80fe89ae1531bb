"""Housekeeping: a scheduled job that removes old runs and leftovers by age, or only reports them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from pydantic import Field

from taxi_assets.defs.assets import common
from taxi_assets.defs.ingestion.polling import NEW_YORK
from taxi_assets.defs.operations import leftovers
from taxi_assets.defs.operations.leftovers import Leftover, days_ago
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.runtime.dagster_internals import AssetJobDefinition

JOB, SCHEDULE = "housekeeping_job", "housekeeping_schedule"
# Before the day's comparison, when the night's runs are over.
CRON = "0 5 * * *"
EXAMPLES = 3


class HousekeepingConfig(dg.Config):
    """Ages in days after which things are removed; `dry_run` only reports them."""

    dry_run: bool = Field(default=False, description="Report what would be removed, and remove nothing.")
    run_days: float = Field(default=90, ge=0, description="Finished runs with their events, but for the latest ones.")
    compute_log_days: float = Field(default=30, ge=0, description="What steps printed, of all finished runs.")
    staging_days: float = Field(default=1, ge=0, description="Staging tables of killed runs.")
    pending_days: float = Field(default=7, ge=0, description="Objects under pending/ that were never published.")
    work_days: float = Field(default=1, ge=0, description="Scratch folders of killed processes on this machine.")
    cache_days: float = Field(default=30, ge=0, description="Cached files on this machine that nobody read since.")


@dataclass(frozen=True)
class Housekeeping:
    """The asset, the job and the schedule of this module."""

    asset: dg.AssetsDefinition
    job: AssetJobDefinition
    schedule: dg.ScheduleDefinition


def build_housekeeping(enabled_by_default: bool) -> Housekeeping:
    """Build all definitions; `enabled_by_default` sets the initial state of the schedule."""
    item = build_housekeeping_asset()
    return Housekeeping(
        item,
        dg.define_asset_job(
            JOB, dg.AssetSelection.assets(item.key), description="Removes old runs and leftovers, by age."
        ),
        dg.ScheduleDefinition(
            SCHEDULE,
            job_name=JOB,
            cron_schedule=CRON,
            execution_timezone=NEW_YORK.key,
            default_status=dg.DefaultScheduleStatus.RUNNING if enabled_by_default else dg.DefaultScheduleStatus.STOPPED,
            description="Every day, with the default ages.",
        ),
    )


def build_housekeeping_asset() -> dg.AssetsDefinition:
    """Build the asset `operations/housekeeping`."""

    @dg.asset(
        key=["operations", "housekeeping"],
        group_name="operations",
        kinds={"table"},
        owners=common.OWNERS,
        tags={"layer": "operations"},
        description="""One row a kind of leftover, with what was removed of it.

Runs with their events and logs, staging tables, pending objects, scratch folders and cached files, each by its age;
ages and `dry_run` are run config. Kept are what a live run may use and the run of every month's latest
materialization. A rerun removes what has come of age since.""",
    )
    def housekeeping(
        context: dg.AssetExecutionContext,
        config: HousekeepingConfig,
        lake: LakeResource,
        bigquery: BigQueryWarehouse,
        postgres: PostgresWarehouse,
    ) -> dg.MaterializeResult:
        instance, data_dir = context.instance, Path(lake.data_dir)
        with common.as_dagster_failure(context):
            busy = leftovers.busy_datasets(instance)
            found: list[Leftover] = [
                *leftovers.old_runs(instance, days_ago(config.run_days)),
                *leftovers.old_compute_logs(instance, days_ago(config.compute_log_days)),
                *leftovers.staging_tables(bigquery, postgres, busy, days_ago(config.staging_days)),
                *leftovers.pending_objects(lake, busy, days_ago(config.pending_days)),
                *leftovers.work_folders(data_dir, days_ago(config.work_days)),
                *leftovers.cached_files(data_dir, busy, days_ago(config.cache_days)),
            ]
            if not config.dry_run:
                for item in found:
                    context.log.debug("removing %s: %s", item.kind, item.name)
                    item.remove()
        what = "would be removed" if config.dry_run else "removed"
        context.log.info("%s things %s, %s bytes", len(found), what, f"{sum(item.bytes for item in found):,}")
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(found),
                "dry_run": config.dry_run,
                what.replace(" ", "_"): _table(found),
                "bytes": sum(item.bytes for item in found),
                "left_alone": dg.MetadataValue.text(", ".join(sorted(busy)) or "nothing, as no run was under way"),
            }
        )

    return housekeeping


def _table(found: Iterable[Leftover]) -> dg.TableMetadataValue:
    kinds: dict[str, list[Leftover]] = defaultdict(list)
    for item in found:
        kinds[item.kind].append(item)
    rows = []
    for kind, items in kinds.items():
        oldest = min(item.since for item in items)
        names = ", ".join(item.name for item in items[:EXAMPLES]) + (", ..." if len(items) > EXAMPLES else "")
        size = sum(item.bytes for item in items)
        rows.append(
            dg.TableRecord(
                {"kind": kind, "count": len(items), "bytes": size, "oldest": f"{oldest:%Y-%m-%d}", "names": names}
            )
        )
    columns = [dg.TableColumn("kind", "string"), dg.TableColumn("count", "int"), dg.TableColumn("bytes", "int")]
    columns += [dg.TableColumn("oldest", "string"), dg.TableColumn("names", "string")]
    return dg.MetadataValue.table(rows, schema=dg.TableSchema(columns))
