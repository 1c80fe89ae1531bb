"""The assets of a dataset, one factory in each file. The registry of datasets holds all their differences.

An asset only connects: resources do the I/O, and pure functions decide.
"""

import dagster as dg

from taxi_assets.cleaning.layout import DEFAULTS
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.contract.datasets import Dataset
from taxi_assets.defs.assets.clean_parquet import build_clean_parquet
from taxi_assets.defs.assets.gcs_object import build_gcs_object
from taxi_assets.defs.assets.raw_file import build_raw_file
from taxi_assets.defs.assets.warehouse_table import build_warehouse_table
from taxi_assets.resources.warehouse import WAREHOUSES


def build_assets(dataset: Dataset, options: ReadingOptions = DEFAULTS) -> list[dg.AssetsDefinition]:
    """Build the assets of a dataset, from source to warehouses; a run can have other `options` than these."""
    return [
        build_raw_file(dataset),
        build_clean_parquet(dataset, options),
        build_gcs_object(dataset),
        *(build_warehouse_table(dataset, name) for name in WAREHOUSES),
    ]
