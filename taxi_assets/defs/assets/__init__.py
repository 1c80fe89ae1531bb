"""The assets of a dataset, one factory a file; the registry of datasets is all that tells them apart.

An asset wires: resources do the I/O, pure functions decide.
"""

from dagster import AssetsDefinition

from taxi_assets.contract.datasets import Dataset
from taxi_assets.defs.assets.bigquery_table import build_bigquery_table
from taxi_assets.defs.assets.clean_parquet import build_clean_parquet
from taxi_assets.defs.assets.gcs_object import build_gcs_object
from taxi_assets.defs.assets.postgres_table import build_postgres_table
from taxi_assets.defs.assets.raw_file import build_raw_file

FACTORIES = (build_raw_file, build_clean_parquet, build_gcs_object, build_bigquery_table, build_postgres_table)


def build_assets(dataset: Dataset) -> list[AssetsDefinition]:
    """The five assets of a dataset, from source to warehouses."""
    return [build(dataset) for build in FACTORIES]
