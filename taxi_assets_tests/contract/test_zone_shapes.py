"""The zones' shapes: read from any packed shapefile, simplified with common borders, measured."""

import io
import json
import zipfile
from pathlib import Path

import pytest
import shapefile
import shapely
from pyproj import CRS
from shapely.geometry import shape

from taxi_assets.contract.zone_shapes import ZoneShapes, read_zone_shapes
from taxi_assets.errors import ContractError
from taxi_assets.sample.zones import positions, write_zone_shapes


@pytest.fixture(scope="module")
def real(tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> ZoneShapes:
    return read_zone_shapes(packed_shapes(tlc, tmp_path_factory.mktemp("shapes")))


def packed_shapes(tlc: Path, folder: Path) -> Path:
    """Pack TLC's shapefile as TLC does, in a folder of the archive."""
    path = folder / "taxi_zones.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted((tlc / "zones" / "shapes").iterdir()):
            archive.write(part, f"taxi_zones/{part.name}")
    return path


def outlines(shapes: ZoneShapes) -> dict[int, shapely.Geometry]:
    return {f["properties"]["location_id"]: shape(f["geometry"]) for f in json.loads(shapes.geojson)["features"]}


def test_real_zones_are_263_where_they_are_in_new_york(real: ZoneShapes) -> None:
    found = outlines(real)
    assert list(found) == list(range(1, 264))
    assert len(real.geojson) < 400_000
    areas = {row["location_id"]: row for row in real.areas.to_pylist()}
    assert areas[132]["area_km2"] == pytest.approx(18.2, abs=0.1)
    # Times Square is in zone 230, JFK's terminal 4 in 132, and both harbour islands' shapes are apart.
    assert found[230].contains(shapely.Point(-73.9855, 40.7580))
    assert found[132].contains(shapely.Point(-73.7822, 40.6441))
    assert {found[n].is_empty for n in (57, 103, 104, 105)} == {False}


def test_simplified_neighbours_leave_no_gaps_and_do_not_overlap(real: ZoneShapes) -> None:
    found = list(outlines(real).values())
    together = shapely.union_all(found)
    overlap = sum(o.area for o in found) - together.area
    assert abs(overlap) / together.area < 1e-4
    measured = sum(row["area_km2"] for row in real.areas.to_pylist())
    # A square kilometre at New York's latitude, in square degrees.
    assert together.area * 111.32 * 84.36 == pytest.approx(measured, rel=0.01)


def test_sample_zones_hold_the_places_where_sample_trips_begin(tmp_path: Path) -> None:
    path = write_zone_shapes(tmp_path)
    first = path.read_bytes()
    assert write_zone_shapes(tmp_path).read_bytes() == first
    found = outlines(read_zone_shapes(path))
    lon, lat = positions()
    missed = [z for z in found if not found[z].buffer(1e-4).contains(shapely.Point(lon[z] / 1e6, lat[z] / 1e6))]
    assert missed == []


def shapes_zip(folder: Path, ids: list[int], plane: str) -> Path:
    parts = {end: io.BytesIO() for end in ("shp", "shx", "dbf")}
    with shapefile.Writer(**parts) as writer:
        writer.field("LocationID", "N", 4)
        for zone in ids:
            writer.poly([[(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]])
            writer.record(zone)
    path = folder / "odd.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for end, content in parts.items():
            archive.writestr(f"a.{end}", content.getvalue())
        archive.writestr("a.prj", plane)
    return path


def test_what_is_no_shapefile_of_the_zones_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ContractError, match=r"bad.zip is no ZIP archive that can be read"):
        read_zone_shapes(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "")
        archive.writestr("x.shp", "")
    with pytest.raises(ContractError, match=r"lacks a \.shx and a \.dbf and a \.prj"):
        read_zone_shapes(path)
    with pytest.raises(ContractError, match="has 2 shapes whose LocationID and OBJECTID are not 1 to 263"):
        read_zone_shapes(shapes_zip(tmp_path, [1, 1], CRS("EPSG:2263").to_wkt()))
    with pytest.raises(ContractError, match="names no known projection; expected is EPSG:2263"):
        read_zone_shapes(shapes_zip(tmp_path, list(range(1, 264)), "somewhere"))
    with zipfile.ZipFile(path, "w") as archive:
        for end in ("shp", "shx", "dbf", "prj"):
            archive.writestr(f"x.{end}", "nothing of the kind")
    with pytest.raises(ContractError, match="no shapefile that can be read"):
        read_zone_shapes(path)
