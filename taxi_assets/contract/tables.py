"""The warehouse's tables, the same in BigQuery and in PostgreSQL; their columns are those of the contract."""

from collections.abc import Mapping
from dataclasses import dataclass

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.schemas import Schema
from taxi_assets.contract.zones import ZONES_SCHEMA


@dataclass(frozen=True)
class Table:
    """A table; one `by_month` is partitioned by `source_month`."""

    name: str
    schema: Schema
    description: str
    by_month: bool


def trips_table(dataset: str) -> str:
    """Name of a dataset's table."""
    return f"{dataset}_trips"


ZONES_TABLE = "zones"
TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        *(Table(trips_table(d.name), d.schema, f"{d.title}; one row a trip.", True) for d in DATASETS.values()),
        Table(ZONES_TABLE, ZONES_SCHEMA, "Taxi zones; one row a zone, for the zone ids of the trips.", False),
    )
}
