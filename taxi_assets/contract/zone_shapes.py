"""The taxi zones' shapes: TLC's shapefile as outlines in longitude and latitude, with areas and centroids. Pure.

shapely, pyproj and pyshp take a quarter of a second to import, so whoever needs shapes imports this module then. They
are wheels for every system. DuckDB's spatial extension could do the same, but has six times their size, and only what
runs the emulators has DuckDB.
"""

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import shapefile
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely.geometry import mapping, shape

from taxi_assets.contract.rules import ZONES
from taxi_assets.contract.zone_pieces import cut_into_pieces
from taxi_assets.contract.zones import NO_PLACE, ZONE_AREAS_SCHEMA
from taxi_assets.errors import ContractError

# The State Plane of Long Island in feet, of TLC's file; areas are computed in it.
PLANE = "EPSG:2263"
SQUARE_KM_IN_FEET = (1000 / 0.3048006096012192) ** 2
# Visvalingam's tolerance, in feet: a hundred shapes lose nothing that shows on a map of the city.
TOLERANCE_FEET = 120.0
DECIMALS = 5
PLACES = [zone for zone in ZONES if zone not in NO_PLACE]
# TLC's has 1.9 MB unpacked.
MAX_UNPACKED_BYTES = 64 << 20
_PARTS = (".shp", ".shx", ".dbf", ".prj")


@dataclass(frozen=True)
class ZoneShapes:
    """The 263 zones as simplified GeoJSON, as rows of `ZONE_AREAS_SCHEMA`, and as published; all in WGS 84."""

    geojson: str
    areas: pa.Table
    outlines: Sequence[Any]

    @cached_property
    def pieces(self) -> pa.Table:
        """The zones as published, as rows of `ZONE_PIECES_SCHEMA`, which takes seconds to make.

        Raises:
            ContractError: The shapes cannot be cut.
        """
        return cut_into_pieces(self.outlines, PLACES)


def read_zone_shapes(path: Path) -> ZoneShapes:
    """Read a packed shapefile of the 263 zones, in any projection that its .prj names.

    Neighbours keep their border in common when it is simplified. TLC's file gives Corona and the three harbour
    islands one `LocationID` for several shapes; there `OBJECTID` is the zone's number, as in the lookup.

    Raises:
        ContractError: It is no packed shapefile, or its zones are not 1 to 263.
    """
    records, shapes, plane = _read(path)
    ids = _zone_ids(records, path)
    order = np.argsort(ids)
    try:
        to_plane = Transformer.from_crs(plane, PLANE, always_xy=True)
    except CRSError:
        raise ContractError(f"{path.name} has a .prj that names no known projection; expected is {PLANE}.") from None
    full = shapely.make_valid(np.array([shape(shapes[i]) for i in order], dtype=object))
    full = _moved(full, to_plane)
    to_degrees = Transformer.from_crs(PLANE, "EPSG:4326", always_xy=True)
    simple = _moved(shapely.coverage_simplify(full, TOLERANCE_FEET), to_degrees)
    names = [{str(key).lower(): str(value).strip() for key, value in records[i].items()} for i in order]
    features = [
        {
            "type": "Feature",
            "id": zone,
            "properties": {"location_id": zone, "zone": of.get("zone"), "borough": of.get("borough")},
            "geometry": _rounded(outline),
        }
        for zone, of, outline in zip(PLACES, names, simple, strict=True)
    ]
    centroids = shapely.get_coordinates(_moved(shapely.centroid(full), to_degrees))
    columns = [
        pa.array(PLACES, ZONE_AREAS_SCHEMA.arrow.field("location_id").type),
        pa.array(np.round(shapely.area(full) / SQUARE_KM_IN_FEET, 6)),
        pa.array(np.round(centroids[:, 0], 6)),
        pa.array(np.round(centroids[:, 1], 6)),
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":"), sort_keys=True)
    areas = pa.table(columns, schema=ZONE_AREAS_SCHEMA.arrow)
    return ZoneShapes(text, areas, _moved(full, to_degrees))


def _read(path: Path) -> tuple[list[dict[str, Any]], list[Mapping[str, Any]], CRS]:
    parts = _parts(path)
    try:
        reader = shapefile.Reader(**{end[1:]: io.BytesIO(content) for end, content in parts.items() if end != ".prj"})
        records = [record.as_dict() for record in reader.records()]
        shapes = [found.__geo_interface__ for found in reader.shapes()]
        plane = CRS.from_wkt(parts[".prj"].decode("utf-8", "replace"))
    except CRSError:
        raise ContractError(f"{path.name} has a .prj that names no known projection; expected is {PLANE}.") from None
    except (shapefile.ShapefileException, struct.error, ValueError, KeyError, OSError, IndexError) as error:
        raise ContractError(f"{path.name} holds no shapefile that can be read ({error}).") from None
    return records, shapes, plane


def _parts(path: Path) -> dict[str, bytes]:
    """Return the shapefile's parts by their endings, whatever folder of the archive they are in."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = {PurePosixPath(item.filename).suffix.lower(): item for item in archive.infolist()}
            missing = [end for end in _PARTS if end not in found]
            if missing:
                raise ContractError(f"{path.name} is no packed shapefile: it lacks a {' and a '.join(missing)}.")
            if sum(found[end].file_size for end in _PARTS) > MAX_UNPACKED_BYTES:
                raise ContractError(
                    f"{path.name} unpacks to more than {MAX_UNPACKED_BYTES} bytes, where zone shapes of 2 MB were "
                    "expected; check TAXI_ZONE_SHAPES_SOURCE."
                )
            return {end: archive.read(found[end]) for end in _PARTS}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ContractError(f"{path.name} is no ZIP archive that can be read ({error}).") from None


def _zone_ids(records: list[dict[str, Any]], path: Path) -> list[int]:
    """Return the zone of each shape.

    Raises:
        ContractError: Neither column has the zones 1 to 263 once each.
    """
    lower = [{key.lower(): value for key, value in record.items()} for record in records]
    for name in ("locationid", "location_i", "objectid"):
        ids = [record.get(name) for record in lower]
        if sorted(int(i) if isinstance(i, int | float) else 0 for i in ids) == PLACES:
            return [int(i) for i in ids]  # type: ignore[arg-type]
    raise ContractError(
        f"{path.name} has {len(records)} shapes whose LocationID and OBJECTID are not {PLACES[0]} to {PLACES[-1]} "
        "once each; check TAXI_ZONE_SHAPES_SOURCE."
    )


def _moved(shapes: Any, transformer: Transformer) -> Any:
    return shapely.transform(shapes, lambda x, y: transformer.transform(x, y), interleaved=False)


def _rounded(outline: Any) -> dict[str, Any]:
    """Return a geometry of polygons, rings in the direction that d3 expects: outer ones clockwise."""
    polygons = [part for part in shapely.get_parts(outline) if part.geom_type == "Polygon"]
    turned = shapely.MultiPolygon([shapely.geometry.polygon.orient(part, sign=-1.0) for part in polygons])

    def rounded(value: Any) -> Any:
        return [rounded(v) for v in value] if isinstance(value, list | tuple) else round(value, DECIMALS)

    geometry = mapping(turned)
    return {"type": geometry["type"], "coordinates": rounded(geometry["coordinates"])}
