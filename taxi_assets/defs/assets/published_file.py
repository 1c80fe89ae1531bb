"""The files that TLC publishes, as external assets: lineage begins there."""

import dagster as dg

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.defs.assets.common import OWNERS
from taxi_assets.defs.partitions import monthly


def published_file_key(dataset: Dataset) -> list[str]:
    """Return the asset key of the dataset's published files."""
    return ["tlc", f"{dataset.name}_file"]


def build_published_files() -> list[dg.AssetSpec]:
    """Build the external assets `tlc/<dataset>_file`, one for each dataset."""
    return [
        dg.AssetSpec(
            published_file_key(dataset),
            group_name="tlc",
            description=f"{dataset.title}. TLC's monthly file; `{dataset.name}/raw_file` fetches it.",
            kinds={"file"},
            owners=OWNERS,
            tags={"layer": "raw"},
            partitions_def=monthly(dataset),
        )
        for dataset in DATASETS.values()
    ]
