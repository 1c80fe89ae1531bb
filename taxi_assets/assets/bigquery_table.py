"""The month in BigQuery."""

from dagster import AssetExecutionContext, AssetsDefinition, MaterializeResult

from taxi_assets.assets.common import (
    LoadConfig,
    failures,
    loaded,
    month_asset,
    month_of,
    published_month,
    totals_if_loaded,
)
from taxi_assets.checks import WAREHOUSE_CHECKS, check_warehouse
from taxi_assets.datasets import Dataset
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
        with failures(context):
            kept, manifest = published_month(lake, dataset, month)
            before = None if config.again else totals_if_loaded(context, bigquery, dataset, month, kept, manifest)
            if before is None:
                bigquery.replace_month(dataset, month, kept.uri, manifest)
            checks = check_warehouse(before or bigquery.month_totals(dataset, month), manifest)
        return loaded(context, bigquery.table(dataset), kept, manifest, checks, already=before is not None)

    return bigquery_table
