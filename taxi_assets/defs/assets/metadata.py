"""Dagster metadata of months: column schema, tables of counts, and a look at the first rows."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from dagster import MetadataValue, TableColumn, TableColumnConstraints, TableMetadataValue, TableRecord, TableSchema

from taxi_assets.contract.schemas import Schema

PREVIEW_ROWS = 10


def column_schema(schema: Schema) -> TableSchema:
    """The columns as the UI shows them."""
    return TableSchema(
        columns=[
            TableColumn(
                c.name,
                str(c.type),
                description=c.description,
                constraints=TableColumnConstraints(nullable=c.name != "source_month"),
            )
            for c in schema.columns
        ]
    )


def counts_table(counts: Mapping[str, int], what: str) -> TableMetadataValue:
    """Counts by name, as a table."""
    return MetadataValue.table(
        [TableRecord({what: name, "rows": count}) for name, count in counts.items()],
        schema=TableSchema([TableColumn(what, "string"), TableColumn("rows", "int")]),
    )


def preview(path: Path) -> str:
    """The first ten rows of a Parquet file as a Markdown table, without the columns that are empty in them."""
    batch = next(pq.ParquetFile(path).iter_batches(PREVIEW_ROWS), None)
    if batch is None:
        return "no rows"
    names = [name for name in batch.schema.names if batch.column(name).null_count < batch.num_rows]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in pa.Table.from_batches([batch]).select(names).to_pylist():
        lines.append("| " + " | ".join("" if value is None else str(value) for value in row.values()) + " |")
    return "\n".join(lines)
