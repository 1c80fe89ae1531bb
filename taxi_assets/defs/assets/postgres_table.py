"""The month in PostgreSQL."""

from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult

from taxi_assets.contract.datasets import Dataset
from taxi_assets.defs.assets.common import (
    LoadConfig,
    as_dagster_failure,
    current_totals,
    load_result,
    month_asset,
    month_of,
    published_month,
)
from taxi_assets.defs.checks import WAREHOUSE_CHECKS, check_warehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse


def build_postgres_table(dataset: Dataset) -> AssetsDefinition:
    """The asset `<dataset>/postgres_table`."""

    @month_asset(
        dataset,
        "postgres_table",
        pool="postgres",
        kinds={"postgres", "table"},
        after="gcs_object",
        checks=WAREHOUSE_CHECKS,
        description=f"""one row a trip, in the PostgreSQL table `taxi.{dataset.name}_trips`.

Copied from the month's object into a table of its own, compared with the lake (rows, sums of the money columns,
first and last pickup), then attached as the month's partition in the transaction that drops the old one. A rerun
replaces the month, unless it came from the same object and its totals are right; a failed one leaves what was
there.""",
    )
    def postgres_table(
        context: AssetExecutionContext, config: LoadConfig, lake: LakeResource, postgres: PostgresWarehouse
    ) -> MaterializeResult:
        month = month_of(context)
        with as_dagster_failure(context):
            kept, manifest = published_month(lake, dataset, month)
            before = None if config.force else current_totals(context, postgres, dataset, month, kept, manifest)
            if before is None:
                postgres.replace_month(dataset, month, lake.fetch(kept.name), manifest)
            checks = check_warehouse(before or postgres.month_totals(dataset, month), manifest)
        return load_result(context, postgres.table(dataset), kept, manifest, checks, already=before is not None)

    return postgres_table
