"""The month in a warehouse."""

from typing import cast

import dagster as dg

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.tables import trips_table
from taxi_assets.defs.assets.common import (
    LoadConfig,
    as_dagster_failure,
    current_totals,
    load_result,
    month_asset,
    month_of,
    published_month,
)
from taxi_assets.defs.assets.metadata import same_columns
from taxi_assets.defs.checks import WAREHOUSE_CHECKS, check_warehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.warehouse import WAREHOUSES, Warehouse


def build_warehouse_table(dataset: Dataset, name: str) -> dg.AssetsDefinition:
    """Build the asset `<dataset>/<warehouse>_table` for the warehouse with that resource name."""
    kind = WAREHOUSES[name]

    @month_asset(
        dataset,
        kind.asset_name,
        layer="published",
        pool=name,
        kinds={name, "table"},
        after=[dataset.name, "gcs_object"],
        checks=WAREHOUSE_CHECKS,
        lineage=same_columns(dataset, "gcs_object"),
        required_resource_keys={"lake", name},
        warehouse=kind.label,
        table=trips_table(dataset.name),
    )
    def warehouse_table(context: dg.AssetExecutionContext, config: LoadConfig) -> dg.MaterializeResult:
        """Load the month into the {warehouse} table `{table}`: one row a trip.

        The month's object is loaded into a staging table and compared with the lake: rows, sums of the money columns,
        first and last pickup. It is then published in one transaction that replaces the month. A rerun replaces the
        month, unless it was loaded from the same object and its totals are equal. A failed run leaves the published
        month as it was.
        """
        lake, warehouse = cast(LakeResource, context.resources.lake), cast(Warehouse, getattr(context.resources, name))
        month = month_of(context)
        with as_dagster_failure(context):
            kept, manifest = published_month(lake, dataset, month)
            current = None if config.is_forced else current_totals(context, warehouse, dataset, month, kept, manifest)
            if current is None:
                warehouse.replace_month(dataset, month, lake.file(kept), manifest)
            else:
                warehouse.drop_leftovers(dataset, month)
            checks = check_warehouse(current or warehouse.month_totals(dataset, month), manifest)
        return load_result(context, warehouse.table(dataset), kept, manifest, checks, already=current is not None)

    return warehouse_table
