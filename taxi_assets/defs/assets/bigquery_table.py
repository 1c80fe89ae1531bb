"""The month in BigQuery."""

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
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource


def build_bigquery_table(dataset: Dataset) -> AssetsDefinition:
    """The asset `<dataset>/bigquery_table`."""

    @month_asset(
        dataset,
        "bigquery_table",
        pool="bigquery",
        kinds={"bigquery", "table"},
        after="gcs_object",
        checks=WAREHOUSE_CHECKS,
        description=f"""one row a trip, in the BigQuery table `{dataset.name}_trips`.

Loaded from the month's object into a staging table, compared with the lake (rows, sums of the money columns, first
and last pickup), then published in one transaction that deletes the month and inserts it anew. A rerun replaces
the month, unless it came from the same object and its totals are right; a failed one leaves what was there.""",
    )
    def bigquery_table(
        context: AssetExecutionContext, config: LoadConfig, lake: LakeResource, bigquery: BigQueryWarehouse
    ) -> MaterializeResult:
        month = month_of(context)
        with as_dagster_failure(context):
            kept, manifest = published_month(lake, dataset, month)
            before = None if config.force else current_totals(context, bigquery, dataset, month, kept, manifest)
            if before is None:
                bigquery.replace_month(dataset, month, kept.uri, manifest)
            checks = check_warehouse(before or bigquery.month_totals(dataset, month), manifest)
        return load_result(context, bigquery.table(dataset), kept, manifest, checks, already=before is not None)

    return bigquery_table
