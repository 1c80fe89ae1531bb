"""The jobs `<dataset>_month_job`: one month through all five assets, alone or as a run of a backfill."""

from collections.abc import Mapping
from datetime import date

from dagster import AssetSelection, PartitionedConfig, define_asset_job

from taxi_assets.contract.datasets import Dataset
from taxi_assets.defs.partitions import monthly
from taxi_assets.months import parse_month
from taxi_assets.runtime.dagster_internals import AssetJobDefinition
from taxi_assets.runtime.names import month_job_name

PRIORITY_TAG = "dagster/priority"


def priority(month: date) -> int:
    """Place in the queue of runs, higher first: of months that wait, the newest is taken first.

    Runs that are started otherwise have Dagster's 0, and so wait for these.
    """
    return (month.year - 2000) * 12 + month.month


def build_month_job(dataset: Dataset) -> AssetJobDefinition:
    """The job of the dataset."""

    def tags(partition_key: str) -> Mapping[str, str]:
        return {PRIORITY_TAG: str(priority(parse_month(partition_key)))}

    partitions = monthly(dataset)
    return define_asset_job(
        month_job_name(dataset.name),
        AssetSelection.groups(dataset.name),
        description=f"One month of {dataset.name} through all five assets. In a backfill, newer months come first.",
        config=PartitionedConfig(
            partitions, run_config_for_partition_key_fn=lambda key: {}, tags_for_partition_key_fn=tags
        ),
    )
