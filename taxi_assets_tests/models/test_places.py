"""The packaged centroids are those of TLC's shapefile."""

import math
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from taxi_assets.models.places import known_zones

FEET = 1200 / 3937
AXIS, FLATTENING = 6378137.0, 1 / 298.257222101
ECCENTRICITY = math.sqrt(2 * FLATTENING - FLATTENING**2)


def degrees(x: float, y: float) -> tuple[float, float]:
    """Latitude and longitude of EPSG:2263, the inverse of Lambert's conformal conic projection, in US survey feet."""
    origin, south, north = (math.radians(degree) for degree in (40 + 10 / 60, 40 + 40 / 60, 41 + 2 / 60))

    def m(phi: float) -> float:
        return math.cos(phi) / math.sqrt(1 - (ECCENTRICITY * math.sin(phi)) ** 2)

    def skew(phi: float) -> float:
        return ((1 - ECCENTRICITY * math.sin(phi)) / (1 + ECCENTRICITY * math.sin(phi))) ** (ECCENTRICITY / 2)

    def t(phi: float) -> float:
        return math.tan(math.pi / 4 - phi / 2) / skew(phi)

    n = math.log(m(south) / m(north)) / math.log(t(south) / t(north))
    factor = AXIS * m(south) / (n * t(south) ** n)
    east, down = x * FEET - 300000.0, factor * t(origin) ** n - y * FEET
    ratio = (math.hypot(east, down) / factor) ** (1 / n)
    phi = math.pi / 2 - 2 * math.atan(ratio)
    for _ in range(8):
        phi = math.pi / 2 - 2 * math.atan(ratio * skew(phi))
    return math.degrees(phi), math.degrees(math.atan2(east, down) / n) - 74


def centroid(record: bytes) -> tuple[float, float]:
    parts, count = struct.unpack("<2i", record[36:44])
    starts = [*struct.unpack(f"<{parts}i", record[44 : 44 + 4 * parts]), count]
    flat = struct.unpack(f"<{2 * count}d", record[44 + 4 * parts : 44 + 4 * parts + 16 * count])
    points = [(x - flat[0], y - flat[1]) for x, y in zip(flat[::2], flat[1::2], strict=True)]
    area = east = north = 0.0
    for begin, end in pairwise(starts):
        for (xa, ya), (xb, yb) in zip(points[begin : end - 1], points[begin + 1 : end], strict=True):
            cross = xa * yb - xb * ya
            area, east, north = area + cross, east + (xa + xb) * cross, north + (ya + yb) * cross
    return degrees(flat[0] + east / (3 * area), flat[1] + north / (3 * area))


def test_the_centroids_are_those_of_the_shapes(tlc: Path):
    data = (tlc / "zones" / "shapes" / "taxi_zones.shp").read_bytes()
    at, found = 100, []
    while at < len(data):
        size = 2 * struct.unpack(">I", data[at + 4 : at + 8])[0]
        found.append(centroid(data[at + 8 : at + 8 + size]))
        at += 8 + size
    zones = known_zones()
    assert list(zones) == list(range(1, len(found) + 1))
    for zone, (latitude, longitude) in zip(zones.values(), found, strict=True):
        assert zone.latitude == pytest.approx(latitude, abs=6e-5)
        assert zone.longitude == pytest.approx(longitude, abs=6e-5)


def test_the_airports_are_where_they_are():
    zones = known_zones()
    assert (zones[132].name, zones[132].borough) == ("JFK Airport", "Queens")
    assert zones[132].latitude == pytest.approx(40.645, abs=0.01)
    assert zones[132].longitude == pytest.approx(-73.786, abs=0.01)
