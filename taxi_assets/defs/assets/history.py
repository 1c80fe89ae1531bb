"""All of history, a dataset's year at a time: made by Spark in the lake, then taken by both warehouses."""

import warnings
from datetime import date
from typing import cast

import dagster as dg
from dagster_shared.utils.warnings import BetaWarning

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.defs.assets.common import OWNERS, as_dagster_failure, description_of
from taxi_assets.defs.partitions import yearly
from taxi_assets.errors import ServiceError, SupersededError
from taxi_assets.marts.catalog import catalog
from taxi_assets.months import month_text
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.resources.lake import LakeFile, LakeObject, LakeResource
from taxi_assets.resources.warehouse import WAREHOUSES, Warehouse
from taxi_assets.runtime.queues import queue_tags
from taxi_assets.spark.engine import SparkResource
from taxi_assets.spark.store import HistoryYear, find_year, new_version, publish_year, year_prefix
from taxi_assets.spark.tables import HISTORY_TABLES

GROUP = "history"


def build_history() -> list[dg.AssetsDefinition]:
    """Build the years of each dataset, in the lake and in every warehouse."""
    datasets = DATASETS.values()
    in_warehouses = [build_history_tables(dataset, name) for dataset in datasets for name in WAREHOUSES]
    return [*(build_history_year(dataset) for dataset in datasets), *in_warehouses]


def build_history_year(dataset: Dataset) -> dg.AssetsDefinition:
    """Build the asset `history/<dataset>`."""

    def history_year(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Make a year of the marts that are sums, and exact percentiles of its pairs of zones, from the lake, by Spark.

        It reads the year's months that the lake has and writes Parquet under `history/`. The year is replaced when all
        of it is there: a failure, or a kill at any moment, leaves the one before.
        """
        lake = cast(LakeResource, context.resources.lake)
        spark = cast(SparkResource, context.resources.spark)
        year = int(context.partition_key)
        with as_dagster_failure(context):
            spark.check_ready()
            months = _months(lake, dataset, year)
            version = new_version()
            tables, spark_version = spark.make_year(
                context, lake, dataset, months, f"{year_prefix(dataset.name, year)}{version}/"
            )
            _check_unchanged(lake, dataset, year, months)
            read = {month_text(month): item.crc32c for month, item in months.items()}
            made = HistoryYear(dataset.name, year, version, catalog().version, spark_version, read, tables)
            uri = publish_year(lake, made).uri
        return dg.MaterializeResult(
            metadata={
                "dagster/uri": uri,
                "dagster/partition_row_count": sum(made.rows.values()),
                "months": ", ".join(read),
                "spark": spark_version,
                **{f"rows_{name}": rows for name, rows in made.rows.items()},
            }
        )

    return dg.asset(
        key=[GROUP, dataset.name],
        deps=[dg.AssetDep([dataset.name, "gcs_object"], partition_mapping=_months_of_the_year())],
        group_name=GROUP,
        partitions_def=yearly(dataset),
        description=description_of(history_year, dataset.title),
        kinds={"spark", "parquet", "gcs"},
        owners=OWNERS,
        tags={"layer": "mart"},
        required_resource_keys={"lake", "spark"},
        pool="clean",
        op_tags=queue_tags("clean"),
        code_version=catalog().version,
    )(history_year)


def build_history_tables(dataset: Dataset, warehouse: str) -> dg.AssetsDefinition:
    """Build the asset `history/<warehouse>/<dataset>`."""

    def history_tables(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Replace the year in the tables of history in {label}, each in one transaction, by what Spark made."""
        lake = cast(LakeResource, context.resources.lake)
        sink = cast(Warehouse, getattr(context.resources, warehouse))
        year = int(context.partition_key)
        with as_dagster_failure(context):
            manifest, made = find_year(lake, dataset.name, year)
            names = {}
            for name, stored in made.tables.items():
                table = HISTORY_TABLES[name]
                file = _file(lake, manifest, stored.object)
                names[name] = sink.replace_part(table.table, table.year(dataset.name, year), file, stored.rows)
        return dg.MaterializeResult(
            metadata={
                "dagster/partition_row_count": sum(made.rows.values()),
                "loaded_from": manifest.uri,
                "version": made.version,
                **names,
            }
        )

    return dg.asset(
        key=[GROUP, warehouse, dataset.name],
        deps=[[GROUP, dataset.name]],
        group_name=GROUP,
        partitions_def=yearly(dataset),
        description=description_of(history_tables, dataset.title, label=WAREHOUSES[warehouse].label),
        kinds={warehouse, "table"},
        owners=OWNERS,
        tags={"layer": "mart"},
        required_resource_keys={"lake", warehouse},
        pool=warehouse,
        op_tags=queue_tags(warehouse),
    )(history_tables)


def _months_of_the_year() -> dg.TimeWindowPartitionMapping:
    with warnings.catch_warnings():
        # The argument is a beta feature; without it, the first and the current year could not be materialized.
        warnings.simplefilter("ignore", BetaWarning)
        return dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def _months(lake: LakeResource, dataset: Dataset, year: int) -> dict[date, LakeObject]:
    found = {month: item for month, item in lake_objects(lake, dataset).items() if month.year == year}
    if not found:
        raise ServiceError(
            f"gs://{lake.bucket} has no month of {dataset.name} {year}; materialize {dataset.name}/gcs_object of its "
            "months first."
        )
    return found


def _check_unchanged(lake: LakeResource, dataset: Dataset, year: int, read: dict[date, LakeObject]) -> None:
    """Check that the lake has the months that were read.

    Raises:
        SupersededError: A month was published meanwhile; a retry reads it.
    """
    now = {month: item.crc32c for month, item in _months(lake, dataset, year).items()}
    if now != {month: item.crc32c for month, item in read.items()}:
        raise SupersededError(
            f"Months of {dataset.name} {year} were published while Spark read them; the year that was there stays. A "
            "retry reads the newer ones."
        )


def _file(lake: LakeResource, manifest: LakeObject, name: str) -> LakeFile:
    """Return a table's file, which is current as long as the manifest is."""
    item = lake.find(name)
    if item is None:
        raise SupersededError(f"gs://{lake.bucket}/{name} is not there; a retry loads what the manifest names by then.")

    def is_current() -> bool:
        now = lake.find(manifest.name)
        return now is not None and now.crc32c == manifest.crc32c

    return LakeFile(item.uri, lake.file(item, keep=False).local, is_current)
