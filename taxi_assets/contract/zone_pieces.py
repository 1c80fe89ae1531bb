"""The taxi zones cut into pieces, by which plain SQL finds the zone of a coordinate: exactly, and on any engine. Pure.

Longitude and latitude become whole steps of 1e-7 degrees, a centimetre, and all shapes are put on these steps together
with a grid of square cells, so that borders meet nowhere but at steps. A cell that has something of a zone is cut at
all corners into pieces between two straight edges, what is in no zone included. So a point is in exactly one piece of
its cell: a join by the cell's numbers and a filter find it, cheaply, and exactly since all numbers are whole.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import shapely

from taxi_assets.contract.zones import CELL_STEPS, STEPS_A_DEGREE, ZONE_PIECES_SCHEMA
from taxi_assets.errors import ContractError

NO_ZONE = 0
# (x, y) of both ends, from left to right, in steps from the cell's corner.
_Edge = tuple[int, int, int, int]


def cut_into_pieces(outlines: Sequence[Any], ids: Sequence[int]) -> pa.Table:
    """Return rows of `ZONE_PIECES_SCHEMA` for outlines in longitude and latitude, which may overlap or leave gaps.

    Where outlines overlap, the first one has the place.

    Raises:
        ContractError: The pieces do not cover their cells, so that trips would get lost.
    """
    shapes = [shapely.transform(o, lambda at: (at + np.array([180, 90])) * STEPS_A_DEGREE) for o in outlines]
    borders = shapely.union_all([*shapely.boundary(shapes), *_grid(shapes)], grid_size=1)
    faces = shapely.get_parts(shapely.polygonize(list(shapely.get_parts(borders))))
    # Faces are ordered by the first shape that each lies in; those of none are outside.
    within, of = shapely.STRtree(shapes).query(shapely.point_on_surface(faces), predicate="within")
    owner = np.full(len(faces), len(ids))
    np.minimum.at(owner, within, of)
    zones = np.array([*ids, NO_ZONE])[owner]
    cells, cell_of = np.unique(shapely.bounds(faces)[:, :2] // CELL_STEPS, axis=0, return_inverse=True)
    listed = np.isin(cell_of, cell_of[zones != NO_ZONE])
    areas = np.bincount(cell_of, shapely.area(faces))
    if not (areas[np.unique(cell_of[listed])] == CELL_STEPS**2).all():
        raise ContractError("The shapes cannot be cut into pieces that cover them; check TAXI_ZONE_SHAPES_SOURCE.")
    rows = [
        row
        for face, cell, zone in zip(faces[listed], cells[cell_of[listed]].astype(int), zones[listed], strict=True)
        for row in _rows(face, cell, int(zone))
    ]
    columns = np.array(sorted(rows), dtype=np.int64).reshape(-1, len(ZONE_PIECES_SCHEMA.names)).T
    kinds = [field.type for field in ZONE_PIECES_SCHEMA.arrow]
    arrays = [pa.array(column, kind) for column, kind in zip(columns[:-1], kinds[:-1], strict=True)]
    arrays.append(pa.array(columns[-1], kinds[-1], mask=columns[-1] == NO_ZONE))
    return pa.table(arrays, schema=ZONE_PIECES_SCHEMA.arrow)


def _grid(shapes: Sequence[Any]) -> list[Any]:
    """Return the lines of the grid of cells round the shapes."""
    left, bottom, right, top = shapely.total_bounds(shapes)
    x = [n * CELL_STEPS for n in range(int(left // CELL_STEPS), int(right // CELL_STEPS) + 2)]
    y = [n * CELL_STEPS for n in range(int(bottom // CELL_STEPS), int(top // CELL_STEPS) + 2)]
    return [
        *(shapely.LineString([(at, y[0]), (at, y[-1])]) for at in x),
        *(shapely.LineString([(x[0], at), (x[-1], at)]) for at in y),
    ]


def _rows(face: Any, cell: np.ndarray[Any, Any], zone: int) -> Iterator[tuple[int, ...]]:
    if face.area == CELL_STEPS**2:
        # Most cells are within one zone.
        yield (*cell, 0, CELL_STEPS, 1, 0, 0, 1, 0, CELL_STEPS, zone)
        return
    corner = cell * CELL_STEPS
    edges: list[_Edge] = []
    for ring in (face.exterior, *face.interiors):
        at = (shapely.get_coordinates(ring) - corner).round().astype(int).tolist()
        ends = [sorted(pair) for pair in pairwise(at)]
        edges += [(*a, *b) for a, b in ends if a[0] < b[0]]
    for start, end, low, high in _pieces(edges):
        yield (*cell, start, end, *_line(low), *_line(high), zone)


def _pieces(edges: Sequence[_Edge]) -> Iterator[tuple[int, int, _Edge, _Edge]]:
    """Return the parts of a face between two edges: from, up to, the lower and the upper edge."""
    begun: dict[tuple[_Edge, _Edge], int] = {}
    corners = sorted({x for edge in edges for x in (edge[0], edge[2])})
    for start, end in pairwise(corners):
        middle = (start + end) / 2
        across = sorted((e for e in edges if e[0] <= start and e[2] >= end), key=lambda e: _height(e, middle))
        here = set(zip(across[::2], across[1::2], strict=True))
        yield from ((begun.pop(pair), start, *pair) for pair in [*begun] if pair not in here)
        for pair in here:
            begun.setdefault(pair, start)
    yield from ((start, corners[-1], *pair) for pair, start in begun.items())


def _height(edge: _Edge, x: float) -> float:
    ax, ay, bx, by = edge
    return ay + (by - ay) * (x - ax) / (bx - ax)


def _line(edge: _Edge) -> tuple[int, int, int]:
    """Return a, b and c of a * y = b * x + c, with a above 0."""
    ax, ay, bx, by = edge
    return bx - ax, by - ay, ay * (bx - ax) - ax * (by - ay)
