"""The pieces of the zones give each point the zone that shapely gives it, and never two."""

import csv
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
import shapefile
import shapely
from pyproj import Transformer
from shapely.geometry import shape

from taxi_assets.contract.zone_pieces import cut_into_pieces
from taxi_assets.contract.zone_shapes import read_zone_shapes
from taxi_assets_tests.contract.test_zone_shapes import packed_shapes

# As the marts do it: a row for each piece of its cell that a point is in, or for the point if the cell is not listed.
FIND = """
    WITH steps AS (
        SELECT n, floor((longitude + 180) * 10000000 + 0.5) AS x, floor((latitude + 90) * 10000000 + 0.5) AS y
        FROM points
    ), cells AS (
        SELECT n, floor(x / 20000) AS cell_x, floor(y / 20000) AS cell_y, x - cell_x * 20000 AS x,
            y - cell_y * 20000 AS y
        FROM steps
    )
    SELECT n, location_id FROM cells LEFT JOIN pieces USING (cell_x, cell_y)
    WHERE pieces.x_to IS NULL OR x >= x_from AND x < x_to AND low_a * y >= low_b * x + low_c
        AND high_a * y < high_b * x + high_c
"""
COORDINATES = [
    "samples/yellow_tripdata_2009-01.head.csv",
    "samples/yellow_tripdata_2015-01.head.csv",
    "samples/yellow_tripdata_2016-01.head.csv",
    "trips/green_tripdata_2013-08.csv",
]
PLACES = {132: (-73.7822, 40.6441), 138: (-73.8733, 40.7747), 230: (-73.9855, 40.7580), 1: (-74.1770, 40.6913)}


def exact_outlines(tlc: Path) -> dict[int, shapely.Geometry]:
    """Return TLC's shapes in longitude and latitude, each corner moved, by nothing of the project."""
    to_degrees = Transformer.from_crs("EPSG:2263", "EPSG:4326", always_xy=True).transform
    with shapefile.Reader(str(tlc / "zones" / "shapes" / "taxi_zones")) as reader:
        return {
            record["OBJECTID"]: shapely.transform(
                shapely.make_valid(shape(found.__geo_interface__)), lambda x, y: to_degrees(x, y), interleaved=False
            )
            for record, found in zip(reader.records(), reader.shapes(), strict=True)
        }


def zones_by_pieces(pieces: pa.Table, points: np.ndarray[Any, Any]) -> dict[int, int]:
    """Return the zone of each point that is in one, by its number."""
    numbered = pa.table({"n": np.arange(len(points)), "longitude": points[:, 0], "latitude": points[:, 1]})
    with duckdb.connect() as connection:
        connection.register("points", numbered)
        connection.register("pieces", pieces)
        rows = connection.execute(FIND).fetchall()
    assert sorted(n for n, _ in rows) == list(range(len(points))), "a point is in no or in two pieces of its cell"
    return {n: zone for n, zone in rows if zone is not None}


def zones_by_shapely(outlines: dict[int, shapely.Geometry], points: np.ndarray[Any, Any]) -> dict[int, int]:
    found: dict[int, int] = {}
    ids = list(outlines)
    pairs = shapely.STRtree(list(outlines.values())).query(shapely.points(points), predicate="within")
    for point, zone in pairs.T.tolist():
        # Where TLC's shapes overlap, the first one has the place.
        found[point] = min(found.get(point, ids[zone]), ids[zone])
    return found


def real_points(tlc: Path) -> np.ndarray[Any, Any]:
    found = []
    for name in COORDINATES:
        with (tlc / name).open(newline="") as file:
            rows = csv.reader(file)
            columns = [n for n, title in enumerate(next(rows)) if "lon" in title.lower() or "lat" in title.lower()]
            whole = [row for row in rows if len(row) > max(columns)]
        for ends in (columns[:2], columns[2:]):
            found += [[float(row[n] or "nan") for n in ends] for row in whole]
    return np.array(found)


@pytest.fixture(scope="module")
def pieces(tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return read_zone_shapes(packed_shapes(tlc, tmp_path_factory.mktemp("shapes"))).pieces


@pytest.mark.long
def test_every_real_point_and_every_random_one_has_shapelys_zone(tlc: Path, pieces: pa.Table) -> None:
    drawn = np.random.default_rng(2009).uniform((-74.26, 40.49), (-73.69, 40.92), (200_000, 2))
    real = real_points(tlc)
    points, outlines = np.vstack([real, drawn]), exact_outlines(tlc)
    found, wanted = zones_by_pieces(pieces, points), zones_by_shapely(outlines, points)
    assert len(real) > 25_000
    assert sum(n < len(real) for n in wanted) > 23_000
    differing = [n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n)]
    # Borders are put on steps of a centimetre; no meter tells its place so well.
    borders = shapely.union_all(shapely.boundary(list(outlines.values())))
    assert [n for n in differing if n < len(real) or shapely.distance(borders, shapely.Point(points[n])) > 2e-7] == []
    assert len(differing) < 5


@pytest.mark.long
def test_known_places_are_in_their_zones_and_no_place_in_none(pieces: pa.Table) -> None:
    nowhere = [(0.0, 0.0), (-74.045, 40.61), (-73.0, 41.0)]
    points = np.array([*PLACES.values(), *nowhere])
    assert zones_by_pieces(pieces, points) == dict(enumerate(PLACES))


def test_points_on_corners_and_borders_are_in_one_piece(pieces: pa.Table) -> None:
    """Corners of TLC's shapes, as whole steps, where pieces of several zones meet."""
    corners = pieces.slice(0, 20_000).to_pylist()
    points = [
        ((row["cell_x"] * 20_000 + row["x_from"]) / 1e7 - 180, (row["cell_y"] * 20_000 + y) / 1e7 - 90)
        for row in corners
        for y in [(row["low_b"] * row["x_from"] + row["low_c"]) // row["low_a"]]
    ]
    zones_by_pieces(pieces, np.array(points))


def test_overlaps_gaps_and_holes() -> None:
    outlines = [
        shapely.Polygon(shapely.box(0.1, 0.1, 0.2, 0.2).exterior, [shapely.box(0.14, 0.14, 0.16, 0.16).exterior]),
        shapely.box(0.15, 0.15, 0.25, 0.25),
        shapely.box(0.2501, 0.1, 0.3, 0.2),
    ]
    points = np.array([(0.11, 0.11), (0.145, 0.145), (0.155, 0.155), (0.18, 0.18), (0.25005, 0.15), (0.26, 0.15)])
    found = zones_by_pieces(cut_into_pieces(outlines, [7, 8, 9]), points)
    assert found == {0: 7, 2: 8, 3: 7, 5: 9}
