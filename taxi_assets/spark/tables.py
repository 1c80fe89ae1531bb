"""The tables of history: those of the marts that are sums, and percentiles of pairs of zones, each by year."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import pyarrow as pa

from taxi_assets.contract.schemas import BOOLEAN, DATE, EXACT, TEXT, WHOLE, Column, Schema
from taxi_assets.contract.tables import Part, Table
from taxi_assets.marts.catalog import Model, catalog

# As the project's catalog has them.
_TYPES: Mapping[str, pa.DataType] = {"date": DATE, "text": TEXT, "whole": WHOLE, "exact": EXACT, "bool": BOOLEAN}
PERCENTS = (10, 25, 50, 75, 90, 95, 99)


@dataclass(frozen=True)
class HistoryTable:
    """A table that Spark makes; `fact` is the model whose SQL it is, or None if it is the file `<name>.sql`."""

    name: str
    fact: str | None
    key: tuple[str, ...]
    table: Table

    def year(self, dataset: str, year: int) -> Part:
        """Return the part of the warehouse's table that a year of a dataset is."""
        when = f"source_month BETWEEN DATE '{year}-01-01' AND DATE '{year}-12-31'" if self.fact else f"year = {year}"
        return Part(f"{dataset}_{year}", f"dataset = '{dataset}' AND {when}")

    @property
    def template(self) -> str:
        """The SQL of a table that is no fact."""
        return files("taxi_assets.spark").joinpath(f"{self.name}.sql").read_text(encoding="utf-8")


def _of_fact(name: str, key: tuple[str, ...]) -> HistoryTable:
    model: Model = catalog().models[f"fct_{name}"]
    columns = [Column(c, _TYPES[d["kind"]], d["description"]) for c, d in model.columns.items()]
    text = f"{model.name} of all history, made by Spark from the lake."
    return HistoryTable(name, model.name, key, _table(name, columns, text, "source_month"))


def _table(name: str, columns: list[Column], description: str, period: str) -> Table:
    schema = Schema(tuple(columns), partition=None)
    return Table(f"history_{name}", schema, description, by_month=False, clustered_by=("dataset", period))


_PAIR_YEAR = [
    Column("year", WHOLE, "Year of the months of files."),
    Column("dataset", TEXT, "yellow, green, fhv or fhvhv."),
    Column("pickup_location_id", WHOLE, "Zone of the pickup, of the file or of its coordinates."),
    Column("dropoff_location_id", WHOLE, "Zone of the dropoff, of the file or of its coordinates."),
    Column("measure", TEXT, "duration_s, distance_mi, fare_usd or total_usd: seconds, miles or US dollars."),
    Column("trips", WHOLE, "Plausible trips with a value, as in fct_pair_part."),
    *(Column(f"p{p}", EXACT, f"Percentile {p}, interpolated between ranks, in the measure's unit.") for p in PERCENTS),
]
_PLACE = ("pickup_location_id", "dropoff_location_id")
_ZONES = (*_PLACE, "pickup_zone_by_coordinates", "dropoff_zone_by_coordinates")
HISTORY_TABLES: Mapping[str, HistoryTable] = {
    table.name: table
    for table in (
        _of_fact("zone_hour", ("source_month", "company", "pickup_date", "pickup_hour", *_ZONES[::2])),
        _of_fact("pair_part", ("source_month", "company", *_ZONES, "part_of_day", "is_weekend")),
        _of_fact("payment_month", ("source_month", "payment_type", "is_null_block")),
        HistoryTable(
            "pair_year",
            None,
            (*_PLACE, "measure"),
            _table("pair_year", _PAIR_YEAR, "Exact percentiles of plausible trips; a row a year and pair.", "year"),
        ),
    )
}
