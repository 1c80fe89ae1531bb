"""The jobs `<dataset>_month_job`: one month through all five assets, alone or as a run of a backfill."""

from collections.abc import Mapping
from datetime import date

import dagster as dg

from taxi_assets.contract.datasets import Dataset
from taxi_assets.defs.partitions import monthly
from taxi_assets.months import parse_month
from taxi_assets.runtime.dagster_internals import AssetJobDefinition
from taxi_assets.runtime.names import month_job_name

PRIORITY_TAG = "dagster/priority"


def priority(month: date) -> int:
    """Return the priority of a month's run: the newest waiting month starts first.

    Runs that are started otherwise have Dagster's 0, so they wait for these.
    """
    return (month.year - 2000) * 12 + month.month


def build_month_job(dataset: Dataset) -> AssetJobDefinition:
    """Build the dataset's job."""

    def tags(partition_key: str) -> Mapping[str, str]:
        return {PRIORITY_TAG: str(priority(parse_month(partition_key)))}

    partitions = monthly(dataset)
    return dg.define_asset_job(
        month_job_name(dataset.name),
        dg.AssetSelection.groups(dataset.name),
        description=f"One month of {dataset.name} through all five assets. In a backfill, newer months come first.",
        config=dg.PartitionedConfig(
            partitions, run_config_for_partition_key_fn=lambda _: {}, tags_for_partition_key_fn=tags
        ),
    )
