"""The warehouse's tables, the same in BigQuery and in PostgreSQL; their columns are those of the contract."""

from collections.abc import Mapping
from dataclasses import dataclass

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.schemas import DATE, INTEGER, NUMBER, Column, Schema
from taxi_assets.contract.zones import ZONE_AREAS_SCHEMA, ZONE_PIECES_SCHEMA, ZONES_SCHEMA


@dataclass(frozen=True)
class Table:
    """A table; one `by_month` is partitioned by `source_month`, another is clustered or indexed by what it names."""

    name: str
    schema: Schema
    description: str
    by_month: bool
    clustered_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """Rows of a table that are replaced together: those that fulfil a condition, and a short name of them."""

    name: str
    condition: str


WHOLE_TABLE = Part("all", "TRUE")


def trips_table(dataset: str) -> str:
    """Name of a dataset's table."""
    return f"{dataset}_trips"


def pairs_table(dataset: str) -> str:
    """Name of the table of a dataset's scored pairs of zones."""
    return f"{dataset}_duration_pairs"


PAIRS_SCHEMA = Schema(
    (
        Column("model_month", DATE, "Month of the model, first of month.", required=True),
        Column("scored_month", DATE, "Month whose trips it was scored on, first of month.", required=True),
        Column("pickup_location_id", INTEGER, "Zone of the pickup.", required=True),
        Column("dropoff_location_id", INTEGER, "Zone of the dropoff.", required=True),
        Column("trips", INTEGER, "Trips of 1 to 180 minutes in the sample scored.", required=True),
        Column("actual_minutes", NUMBER, "Mean minutes that they took."),
        Column("estimated_minutes", NUMBER, "Mean estimate, in minutes."),
        Column("p10_minutes", NUMBER, "Mean lower end of the span, in minutes."),
        Column("p90_minutes", NUMBER, "Mean upper end of the span, in minutes."),
        Column("mean_absolute_error", NUMBER, "Mean absolute error, in minutes; NULL for sample data."),
    )
)
ZONES_TABLE = "zones"
ZONE_AREAS_TABLE = "zone_areas"
ZONE_PIECES_TABLE = "zone_pieces"
TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        *(Table(trips_table(d.name), d.schema, f"{d.title}; one row a trip.", True) for d in DATASETS.values()),
        *(
            Table(pairs_table(d.name), PAIRS_SCHEMA, f"{d.title}; durations estimated, a row a month and pair.", False)
            for d in DATASETS.values()
        ),
        Table(ZONES_TABLE, ZONES_SCHEMA, "Taxi zones; one row a zone, for the zone ids of the trips.", False),
        Table(ZONE_AREAS_TABLE, ZONE_AREAS_SCHEMA, "Areas and centroids of the zones; one row a zone.", False),
        Table(
            ZONE_PIECES_TABLE,
            ZONE_PIECES_SCHEMA,
            "The zones' shapes cut into pieces, to find the zone of a coordinate; one row a piece.",
            False,
        ),
    )
}
