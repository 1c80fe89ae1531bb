"""The taxi zones as the sample source needs them: where they lie, how often trips begin there, where fees apply."""

import io
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from taxi_assets.sample.draws import Bools, Ints, weighted

# zone, longitude, latitude, and how often trips of yellow, green and for-hire cars begin there. Weights follow the
# pickups counted in yellow 2021-01 and green 2020-04 and 2023-06, positions are the zones' middles by the map.
_ZONES = (
    (4, -73.977, 40.724, 7, 0, 6),
    (7, -73.920, 40.762, 6, 26, 10),
    (13, -74.016, 40.711, 10, 0, 6),
    (17, -73.945, 40.687, 2, 12, 18),
    (24, -73.966, 40.802, 13, 10, 5),
    (25, -73.986, 40.686, 4, 14, 10),
    (33, -73.994, 40.696, 3, 10, 8),
    (35, -73.911, 40.668, 1, 3, 14),
    (36, -73.919, 40.696, 1, 4, 16),
    (37, -73.915, 40.691, 1, 5, 20),
    (39, -73.902, 40.640, 1, 3, 14),
    (41, -73.951, 40.805, 26, 100, 14),
    (42, -73.942, 40.819, 9, 75, 16),
    (43, -73.965, 40.782, 37, 30, 5),
    (45, -73.998, 40.713, 4, 0, 4),
    (48, -73.989, 40.762, 89, 0, 14),
    (49, -73.964, 40.689, 2, 12, 16),
    (50, -73.995, 40.766, 19, 0, 6),
    (61, -73.940, 40.674, 1, 25, 30),
    (65, -73.986, 40.695, 3, 30, 9),
    (66, -73.985, 40.702, 2, 12, 5),
    (68, -73.999, 40.748, 59, 0, 12),
    (74, -73.937, 40.801, 28, 150, 14),
    (75, -73.946, 40.790, 41, 125, 10),
    (76, -73.877, 40.662, 1, 6, 24),
    (79, -73.986, 40.728, 51, 0, 24),
    (80, -73.940, 40.715, 2, 6, 9),
    (82, -73.877, 40.742, 2, 30, 12),
    (87, -74.007, 40.706, 12, 0, 9),
    (89, -73.961, 40.641, 1, 8, 16),
    (90, -73.992, 40.741, 44, 0, 10),
    (95, -73.845, 40.722, 2, 30, 9),
    (97, -73.975, 40.690, 4, 35, 12),
    (100, -73.988, 40.754, 48, 0, 9),
    (107, -73.984, 40.737, 51, 0, 12),
    (112, -73.952, 40.728, 2, 8, 12),
    (113, -73.994, 40.732, 29, 0, 8),
    (114, -73.997, 40.728, 18, 0, 7),
    (116, -73.949, 40.827, 7, 28, 12),
    (119, -73.926, 40.843, 1, 9, 15),
    (129, -73.887, 40.756, 2, 15, 11),
    (130, -73.793, 40.705, 2, 16, 13),
    (132, -73.779, 40.643, 97, 0, 25),
    (137, -73.977, 40.740, 38, 0, 8),
    (138, -73.873, 40.774, 60, 0, 22),
    (140, -73.954, 40.765, 51, 0, 9),
    (141, -73.959, 40.767, 69, 0, 9),
    (142, -73.982, 40.771, 77, 0, 9),
    (143, -73.988, 40.776, 30, 0, 5),
    (144, -73.997, 40.721, 15, 0, 7),
    (148, -73.991, 40.719, 13, 0, 12),
    (151, -73.968, 40.798, 43, 0, 7),
    (152, -73.954, 40.817, 4, 16, 7),
    (158, -74.009, 40.735, 12, 0, 7),
    (159, -73.914, 40.820, 2, 26, 12),
    (161, -73.978, 40.758, 56, 0, 12),
    (162, -73.972, 40.757, 46, 0, 9),
    (163, -73.978, 40.765, 43, 0, 8),
    (164, -73.985, 40.749, 38, 0, 8),
    (166, -73.961, 40.810, 17, 45, 9),
    (168, -73.916, 40.808, 2, 10, 16),
    (170, -73.978, 40.747, 57, 0, 9),
    (181, -73.979, 40.671, 3, 9, 19),
    (186, -73.993, 40.750, 93, 0, 9),
    (188, -73.949, 40.659, 1, 14, 16),
    (225, -73.933, 40.684, 1, 9, 17),
    (226, -73.924, 40.744, 2, 7, 7),
    (229, -73.965, 40.757, 44, 0, 7),
    (230, -73.984, 40.760, 60, 0, 14),
    (231, -74.009, 40.718, 22, 0, 16),
    (233, -73.970, 40.750, 23, 0, 6),
    (234, -73.990, 40.738, 47, 0, 16),
    (236, -73.957, 40.780, 75, 0, 9),
    (237, -73.966, 40.769, 85, 0, 9),
    (238, -73.973, 40.790, 72, 0, 6),
    (239, -73.977, 40.783, 87, 0, 8),
    (243, -73.935, 40.859, 2, 8, 9),
    (244, -73.941, 40.843, 8, 55, 14),
    (246, -74.003, 40.754, 27, 0, 10),
    (247, -73.923, 40.829, 2, 12, 12),
    (249, -74.003, 40.735, 39, 0, 10),
    (255, -73.957, 40.719, 4, 8, 16),
    (256, -73.960, 40.711, 4, 9, 14),
    (260, -73.904, 40.747, 2, 16, 8),
    (262, -73.946, 40.776, 30, 0, 6),
    (263, -73.951, 40.778, 71, 0, 8),
)
JFK, LAGUARDIA = 132, 138
# Manhattan south of 96th Street, and of it south of 60th.
_NORTH_OF_60TH = (43, 75, 140, 141, 142, 143, 151, 236, 237, 238, 239, 262, 263)
_SOUTH_OF_60TH = (
    *(4, 12, 13, 45, 48, 50, 68, 79, 87, 88, 90, 100, 107, 113, 114, 125, 137, 144, 148, 158, 161, 162, 163, 164),
    *(170, 186, 209, 211, 224, 229, 230, 231, 232, 233, 234, 246, 249, 261),
)


def _zone_flags(*zones: int) -> Bools:
    flags = np.zeros(266, dtype=np.bool_)
    flags[list(zones)] = True
    return flags


CONGESTED = _zone_flags(*_NORTH_OF_60TH, *_SOUTH_OF_60TH)
CBD = _zone_flags(*_SOUTH_OF_60TH)
AIRPORT = _zone_flags(JFK, LAGUARDIA)


@lru_cache
def zone_table(column: int, tail: float) -> Ints:
    """Return zones by weight; all 263 together get the share `tail` on top."""
    weights = {zone: 0.0 for zone in range(1, 264)}
    total = sum(row[column] for row in _ZONES)
    weights |= {row[0]: row[column] for row in _ZONES}
    return weighted({zone: weight + tail * total / 263 for zone, weight in weights.items()})


@lru_cache
def positions() -> tuple[Ints, Ints]:
    """Return longitude and latitude of each zone in millionths of a degree; unlisted zones spread over the city."""
    lon = np.array([-73_980_000 + zone * 7_919 % 190_000 for zone in range(266)], dtype=np.int64)
    lat = np.array([40_600_000 + zone * 6_151 % 270_000 for zone in range(266)], dtype=np.int64)
    for zone, zone_lon, zone_lat, *_ in _ZONES:
        lon[zone], lat[zone] = round(zone_lon * 1_000_000), round(zone_lat * 1_000_000)
    return lon, lat


def write_zone_lookup(folder: Path) -> Path:
    """Write a zone lookup in TLC's format with all ids and made-up names, and return its path."""
    path = folder / "taxi_zone_lookup.csv"
    lines = ['"LocationID","Borough","Zone","service_zone"']
    lines += [f'{zone},"Sample borough {zone % 5 + 1}","Sample zone {zone}","Boro Zone"' for zone in range(1, 264)]
    lines += ['264,"Unknown","N/A","N/A"', '265,"N/A","Outside of NYC","N/A"']
    path.write_text("\r\n".join([*lines, ""]), encoding="utf-8")
    return path


def write_zone_shapes(folder: Path) -> Path:
    """Write shapes in TLC's format and projection, and return the archive's path.

    A zone is all that lies nearer to its middle than to any other's, within a rectangle: plainly no real borders.
    """
    # Only this function needs shapes, and importing what makes them takes longer than `taxi sample`.
    import shapefile
    from pyproj import CRS, Transformer
    from shapely import MultiPoint, Point, STRtree, box, voronoi_polygons
    from shapely.geometry import mapping

    plane = Transformer.from_crs("EPSG:4326", "EPSG:2263", always_xy=True)
    points = [Point(*plane.transform(x / 1e6, y / 1e6)) for x, y in zip(*(p[1:264] for p in positions()), strict=True)]
    frame = box(*MultiPoint(points).buffer(6_000).bounds)
    cells = [cell.intersection(frame) for cell in voronoi_polygons(MultiPoint(points), extend_to=frame).geoms]
    found = STRtree(cells)
    parts = {end: io.BytesIO() for end in ("shp", "shx", "dbf")}
    with shapefile.Writer(**parts) as writer:
        for name, kind, size in (
            ("OBJECTID", "N", 9),
            ("zone", "C", 254),
            ("LocationID", "N", 4),
            ("borough", "C", 254),
        ):
            writer.field(name, kind, size)
        for zone, point in enumerate(points, start=1):
            writer.shape(mapping(cells[found.nearest(point)]))
            writer.record(zone, f"Sample zone {zone}", zone, f"Sample borough {zone % 5 + 1}")
    contents = {f"taxi_zones.{end}": content.getvalue() for end, content in parts.items()}
    # The header's date would give other bytes each day.
    contents["taxi_zones.dbf"] = b"\x03\x7c\x01\x01" + contents["taxi_zones.dbf"][4:]
    contents["taxi_zones.prj"] = CRS("EPSG:2263").to_wkt("WKT1_ESRI").encode()
    path = folder / "taxi_zones.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return path
