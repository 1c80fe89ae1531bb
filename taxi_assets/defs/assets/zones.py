"""The taxi zone lookup, in the lake and in the warehouses."""

from contextlib import nullcontext
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq

from taxi_assets.contract.object_names import ZONES_OBJECT, raw_prefix
from taxi_assets.contract.tables import TABLES, ZONES_TABLE
from taxi_assets.contract.zones import ZONES_SCHEMA, read_zones
from taxi_assets.defs.assets.common import CODE_VERSION, OWNERS, as_dagster_failure, description_of
from taxi_assets.defs.assets.metadata import column_schema, preview
from taxi_assets.download.fingerprint import RawFile
from taxi_assets.resources.lake import LakeFile, LakeObject, LakeResource
from taxi_assets.resources.source import SourceResource
from taxi_assets.resources.warehouse import WAREHOUSES, Warehouse
from taxi_assets.runtime.queues import queue_tags

NAME = "zones"


def build_zones() -> dg.AssetsDefinition:
    """Build the asset `zones`."""

    def zones(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Publish TLC's zone lookup, in any of its variants, in the lake and in every warehouse.

        It must have the zones 1 to 265 once each. A rerun replaces the tables whole. With `TAXI_SOURCE=sample`, the
        names are made up.
        """
        lake: LakeResource = context.resources.lake
        warehouses: list[Warehouse] = [getattr(context.resources, name) for name in WAREHOUSES]
        with as_dagster_failure(context), lake.scratch() as folder:
            raw, published, rows = _publish(context.resources.source, lake, folder)
            path = folder / "zones.parquet"
            file = LakeFile(published.uri, lambda: nullcontext(path))
            tables = {w.asset_name: w.replace_table(ZONES_TABLE, file, rows) for w in warehouses}
            ten_rows = preview(path)
        context.log.info("%s zones published in %s", rows, " and ".join(tables.values()))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": rows,
                "dagster/uri": published.uri,
                **tables,
                "source": raw.fingerprint.url,
                "raw_sha256": raw.sha256,
                "preview": dg.MetadataValue.md(ten_rows),
            }
        )

    return dg.asset(
        key=[NAME],
        group_name=NAME,
        description=description_of(zones, TABLES[ZONES_TABLE].description.rstrip(".")),
        metadata={"dagster/column_schema": column_schema(ZONES_SCHEMA)},
        kinds={"parquet", "table", *WAREHOUSES},
        owners=OWNERS,
        tags={"layer": "published"},
        required_resource_keys={"source", "lake", *WAREHOUSES},
        pool="source",
        op_tags=queue_tags("source"),
        code_version=CODE_VERSION,
    )(zones)


def _publish(source: SourceResource, lake: LakeResource, folder: Path) -> tuple[RawFile, LakeObject, int]:
    """Write the lookup to `zones.parquet` in the folder; store it and the raw file in the lake."""
    raw = source.fetch_zones(folder)
    assert raw.path is not None, "without a known fingerprint, the source always delivers a file"
    table = read_zones(raw.path)
    path = folder / "zones.parquet"
    pq.write_table(table, path)
    facts = {"source_url": raw.fingerprint.url, "sha256": raw.sha256, "code_version": CODE_VERSION}
    lake.put(raw.path, raw_prefix(NAME) + raw.file_name, facts)
    return raw, lake.put(path, ZONES_OBJECT, facts | {"rows": str(table.num_rows)}), table.num_rows
