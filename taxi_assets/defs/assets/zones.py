"""The taxi zones, their lookup and their shapes, in the lake and in the warehouses."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from taxi_assets.contract.object_names import (
    ZONE_AREAS_OBJECT,
    ZONE_PIECES_OBJECT,
    ZONE_SHAPES_OBJECT,
    ZONES_OBJECT,
    raw_prefix,
)
from taxi_assets.contract.tables import TABLES, ZONE_AREAS_TABLE, ZONE_PIECES_TABLE, ZONES_TABLE
from taxi_assets.contract.zones import ZONES_SCHEMA, read_zones
from taxi_assets.defs.assets.common import CODE_VERSION, OWNERS, as_dagster_failure, description_of
from taxi_assets.defs.assets.metadata import column_schema, preview
from taxi_assets.download.fingerprint import RawFile
from taxi_assets.resources.lake import LakeFile, LakeObject, LakeResource
from taxi_assets.resources.source import SourceResource
from taxi_assets.resources.warehouse import WAREHOUSES, Warehouse
from taxi_assets.runtime.queues import queue_tags

NAME = "zones"


@dataclass(frozen=True)
class PublishedZones:
    """What was published: the lookup, the shapes, and the full names of the tables by warehouse."""

    lookup: RawFile
    zones: LakeObject
    shapes: LakeObject
    tables: dict[str, str]
    area_tables: dict[str, str]
    piece_tables: dict[str, str]
    rows: int
    preview: str


def build_zones() -> dg.AssetsDefinition:
    """Build the asset `zones`."""

    def zones(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Publish TLC's zone lookup, in any of its variants, and the zones' shapes, in the lake and in every warehouse.

        The lookup must have the zones 1 to 265 once each, the shapes those that are places, 1 to 263. The warehouses
        get areas and centroids as the table `zone_areas`, and the shapes cut into pieces as `zone_pieces`, by which
        the marts find the zones of coordinates; the lake has the outlines as GeoJSON. A rerun replaces all whole. With
        `TAXI_SOURCE=sample`, names and shapes are made up.
        """
        lake: LakeResource = context.resources.lake
        warehouses: list[Warehouse] = [getattr(context.resources, name) for name in WAREHOUSES]
        with as_dagster_failure(context):
            done = publish_zones(context.resources.source, lake, warehouses)
        context.log.info("%s zones published in %s", done.rows, " and ".join(done.tables.values()))
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": done.rows,
                "dagster/uri": done.zones.uri,
                **done.tables,
                **{f"{name}_areas": table for name, table in done.area_tables.items()},
                **{f"{name}_pieces": table for name, table in done.piece_tables.items()},
                "shapes": done.shapes.uri,
                "source": done.lookup.fingerprint.url,
                "shapes_source": done.shapes.metadata["source_url"],
                "raw_sha256": done.lookup.sha256,
                "preview": dg.MetadataValue.md(done.preview),
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


def publish_zones(source: SourceResource, lake: LakeResource, warehouses: Sequence[Warehouse]) -> PublishedZones:
    """Publish lookup and shapes; both are read before either is published.

    Raises:
        TaxiError: A file was not fetched, or is not what was expected.
    """
    # Importing what reads shapes takes longer than loading all definitions may.
    from taxi_assets.contract.zone_shapes import read_zone_shapes

    with lake.scratch() as folder:
        raw, raw_shapes = source.fetch_zones(folder), source.fetch_zone_shapes(folder)
        assert raw.path is not None, "without a known fingerprint, the source always delivers a file"
        assert raw_shapes.path is not None, "as above"
        rows, shapes = read_zones(raw.path), read_zone_shapes(raw_shapes.path)
        # Before anything is published, since these too may not be what was expected.
        cut = shapes.pieces
        for fetched in (raw, raw_shapes):
            lake.put(folder / fetched.file_name, raw_prefix(NAME) + fetched.file_name, _facts(fetched, 0))
        (folder / "shapes.geojson").write_text(shapes.geojson, encoding="utf-8")
        outlines = lake.put(folder / "shapes.geojson", ZONE_SHAPES_OBJECT, _facts(raw_shapes, shapes.areas.num_rows))
        areas = _store(lake, shapes.areas, folder / "areas.parquet", ZONE_AREAS_OBJECT, raw_shapes)
        pieces = _store(lake, cut, folder / "pieces.parquet", ZONE_PIECES_OBJECT, raw_shapes)
        lookup = _store(lake, rows, folder / "zones.parquet", ZONES_OBJECT, raw)
        tables = {w.asset_name: w.replace_table(ZONES_TABLE, lookup.file, rows.num_rows) for w in warehouses}
        area_tables = {
            w.asset_name: w.replace_table(ZONE_AREAS_TABLE, areas.file, shapes.areas.num_rows) for w in warehouses
        }
        piece_tables = {w.asset_name: w.replace_table(ZONE_PIECES_TABLE, pieces.file, cut.num_rows) for w in warehouses}
        ten_rows = preview(folder / "zones.parquet")
    return PublishedZones(raw, lookup.stored, outlines, tables, area_tables, piece_tables, rows.num_rows, ten_rows)


@dataclass(frozen=True)
class _Stored:
    stored: LakeObject
    file: LakeFile


def _store(lake: LakeResource, rows: pa.Table, path: Path, name: str, raw: RawFile) -> _Stored:
    pq.write_table(rows, path)
    stored = lake.put(path, name, _facts(raw, rows.num_rows))
    return _Stored(stored, LakeFile(stored.uri, lambda: nullcontext(path)))


def _facts(raw: RawFile, rows: int) -> dict[str, str]:
    facts = {"source_url": raw.fingerprint.url, "sha256": raw.sha256, "code_version": CODE_VERSION}
    return facts | ({"rows": str(rows)} if rows else {})
