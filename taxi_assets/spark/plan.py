"""What the script is given for a dataset's year: files, their schema, and the SQL of each table."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.schemas import BOOLEAN, DATE, EXACT, INTEGER, NUMBER, TEXT, TIME, WHOLE, Schema
from taxi_assets.contract.tables import ZONE_PIECES_TABLE, trips_table
from taxi_assets.contract.zones import ZONE_PIECES_SCHEMA
from taxi_assets.marts.render import render, render_fact
from taxi_assets.spark.tables import HISTORY_TABLES, HistoryTable

SPARK_TYPES: Mapping[pa.DataType, str] = {
    INTEGER: "INT",
    WHOLE: "BIGINT",
    NUMBER: "DOUBLE",
    EXACT: "DECIMAL(38, 9)",
    TEXT: "STRING",
    # Wall clock, as the files have it: a TIMESTAMP would be moved to the session's zone.
    TIME: "TIMESTAMP_NTZ",
    DATE: "DATE",
    BOOLEAN: "BOOLEAN",
}
# The same results on each Spark: no zone but UTC, and no error that becomes a NULL.
CONF: Mapping[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}
Plan = dict[str, Any]


def build_plan(
    dataset: Dataset,
    months: Sequence[date],
    files: Sequence[str],
    out: str,
    conf: Mapping[str, str] | None = None,
    pieces: Sequence[str] = (),
) -> Plan:
    """Return the plan of the months of a year.

    Args:
        dataset: The dataset.
        months: The months, of one year.
        files: The files of kept rows.
        out: Where each table becomes a folder.
        conf: For the Spark that it runs on: memory, cores and folders.
        pieces: The file of the zones' pieces, if there is one; without, coordinates have no zones, as in the marts.
    """
    return {
        "name": f"{dataset.name} {months[0].year}",
        "conf": dict(CONF) | dict(conf or {}),
        "views": {
            trips_table(dataset.name): {"files": list(files), "schema": schema_text(dataset.schema), "small": False},
            ZONE_PIECES_TABLE: {"files": list(pieces), "schema": schema_text(ZONE_PIECES_SCHEMA), "small": True},
        },
        "out": out,
        "tables": {
            name: {"sql": table_sql(table, dataset.name, months), "order": list(table.key)}
            for name, table in HISTORY_TABLES.items()
        },
    }


def schema_text(schema: Schema) -> str:
    """Return the columns as Spark's reader takes them."""
    return ", ".join(f"`{column.name}` {SPARK_TYPES[column.type]}" for column in schema.columns)


def table_sql(table: HistoryTable, dataset: str, months: Sequence[date], engine: str = "spark") -> str:
    """Return the table's query, with the columns and Spark's types of the warehouse's table."""
    if table.fact is not None:
        made = render_fact(table.fact, engine, dataset, months)
    else:
        made = render(table.template, engine, dataset, months)
    columns = ", ".join(f"CAST({c.name} AS {SPARK_TYPES[c.type]}) AS {c.name}" for c in table.table.schema.columns)
    return f"SELECT {columns} FROM ({made}) AS made"
