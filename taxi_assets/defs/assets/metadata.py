"""Dagster metadata of months: column schema and lineage, tables of counts, and a preview of the first rows."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.schemas import Schema

PREVIEW_ROWS = 10
LINEAGE = "dagster/column_lineage"


def column_schema(schema: Schema) -> dg.TableSchema:
    """Return the columns as the UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                c.name,
                str(c.type),
                description=c.description,
                constraints=dg.TableColumnConstraints(nullable=c.name != "source_month"),
            )
            for c in schema.columns
        ]
    )


def published_columns(dataset: Dataset) -> dg.TableColumnLineage:
    """Return the lineage from every published name of a column to the canonical one."""
    raw = dg.AssetKey([dataset.name, "raw_file"])
    return dg.TableColumnLineage(
        {c.name: [dg.TableColumnDep(raw, name) for name in (c.name, *c.aliases)] for c in dataset.schema.published}
    )


def same_columns(dataset: Dataset, upstream: str) -> dg.TableColumnLineage:
    """Return the lineage of columns that keep the names they have in the dataset's asset `upstream`."""
    key = dg.AssetKey([dataset.name, upstream])
    return dg.TableColumnLineage({name: [dg.TableColumnDep(key, name)] for name in dataset.schema.names})


def counts_table(counts: Mapping[str, int], what: str) -> dg.TableMetadataValue:
    """Return counts by name as a table."""
    return dg.MetadataValue.table(
        [dg.TableRecord({what: name, "rows": count}) for name, count in counts.items()],
        schema=dg.TableSchema([dg.TableColumn(what, "string"), dg.TableColumn("rows", "int")]),
    )


def causes_table(manifest: Manifest) -> dg.TableMetadataValue:
    """Return the most frequent causes of unreadable rows as a table."""
    texts = ("cause", "column", "expected", "value")
    return dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "rows": cause.rows,
                    "cause": cause.text,
                    "column": cause.column or "",
                    "expected": cause.expected,
                    "value": cause.value,
                }
            )
            for cause in manifest.causes
        ],
        schema=dg.TableSchema([dg.TableColumn("rows", "int"), *(dg.TableColumn(name, "string") for name in texts)]),
    )


def preview(path: Path) -> str:
    """Return the first ten rows of a Parquet file as a Markdown table, without the columns that are empty in them."""
    batch = next(pq.ParquetFile(path).iter_batches(PREVIEW_ROWS), None)
    if batch is None:
        return "no rows"
    names = [name for name in batch.schema.names if batch.column(name).null_count < batch.num_rows]
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in pa.Table.from_batches([batch]).select(names).to_pylist():
        lines.append("| " + " | ".join("" if value is None else str(value) for value in row.values()) + " |")
    return "\n".join(lines)
