"""Where the taxi zones are: names, boroughs and centroids, computed from TLC's `taxi_zones` shapefile.

`zone_centroids.csv` holds the area-weighted centroid of each of the 263 polygons in degrees (WGS 84), rounded to 11 m.
Its ids are the shapefile's OBJECTID: the column LocationID repeats 56 and 103 where 57, 104 and 105 belong.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

IDS = 266
AIRPORTS = (1, 132, 138)
MILES_PER_DEGREE = 69.0
# At New York's latitude of 40.7 degrees.
MILES_PER_DEGREE_EAST = 52.4

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Places:
    """Zones by id (0 to 265); a zone without a place has NaN as coordinates and 0 as borough."""

    latitude: Floats
    longitude: Floats
    borough: Ints
    borough_names: tuple[str, ...]

    @classmethod
    def of(cls, centroids: Mapping[int, tuple[float, float]], boroughs: Mapping[int, str]) -> "Places":
        """Return the places of `centroids` (zone id to latitude and longitude) and `boroughs` (zone id to name)."""
        names = ("unknown", *sorted(set(boroughs.values())))
        latitude, longitude = np.full(IDS, np.nan), np.full(IDS, np.nan)
        for zone, (lat, lon) in centroids.items():
            latitude[zone], longitude[zone] = lat, lon
        borough = np.array([names.index(boroughs.get(zone, "unknown")) for zone in range(IDS)], np.int64)
        return cls(latitude, longitude, borough, names)

    def miles(self, pickup: Ints, dropoff: Ints) -> tuple[Floats, Floats]:
        """Return how far east and how far north the dropoff zones are of the pickup zones, in miles or NaN."""
        east = (self.longitude[dropoff] - self.longitude[pickup]) * MILES_PER_DEGREE_EAST
        return east, (self.latitude[dropoff] - self.latitude[pickup]) * MILES_PER_DEGREE


@dataclass(frozen=True)
class Zone:
    """A zone that has a place."""

    id: int
    name: str
    borough: str
    latitude: float
    longitude: float


@cache
def known_zones() -> Mapping[int, Zone]:
    """Return the zones 1 to 263 by id."""
    with files("taxi_assets.models").joinpath("zone_centroids.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        int(row["location_id"]): Zone(
            int(row["location_id"]), row["zone"], row["borough"], float(row["latitude"]), float(row["longitude"])
        )
        for row in rows
    }


@cache
def known_places() -> Places:
    """Return the places of `known_zones`."""
    zones = known_zones()
    return Places.of(
        {zone.id: (zone.latitude, zone.longitude) for zone in zones.values()},
        {zone.id: zone.borough for zone in zones.values()},
    )
