"""The taxi zone lookup: what every zone id means, in one form from any variant that TLC published. Pure."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pa_csv

from taxi_assets.contract.rules import ZONES
from taxi_assets.contract.schemas import INTEGER, NUMBER, TEXT, Column, Schema
from taxi_assets.errors import ContractError

ZONES_SCHEMA = Schema(
    (
        Column(
            "location_id",
            INTEGER,
            "Number of the zone, as in the trips; 264 is unknown, 265 outside the city.",
            required=True,
        ),
        Column("borough", TEXT, "Borough, EWR for Newark Airport; NULL for 264 and 265."),
        Column("zone", TEXT, "Name of the zone; NULL for 264 and 265."),
        Column("service_zone", TEXT, "Yellow Zone, Boro Zone, Airports or EWR; NULL for 264 and 265."),
    )
)
ZONE_AREAS_SCHEMA = Schema(
    (
        Column("location_id", INTEGER, "Number of the zone, 1 to 263.", required=True),
        Column("area_km2", NUMBER, "Area of its shape, in square kilometres.", required=True),
        Column("longitude", NUMBER, "Longitude of the shape's centroid, in degrees (WGS 84).", required=True),
        Column("latitude", NUMBER, "Latitude of the shape's centroid, in degrees (WGS 84).", required=True),
    )
)
# What longitude and latitude are counted in to find zones, from 180 W and 90 S on, and the side of a cell.
STEPS_A_DEGREE = 10_000_000
CELL_STEPS = 20_000


def _steps(name: str, description: str) -> Column:
    return Column(name, INTEGER, description, required=True)


ZONE_PIECES_SCHEMA = Schema(
    (
        _steps("cell_x", "Cell of 0.002 degrees that the piece is in, counted from 180 W."),
        _steps("cell_y", "The same, counted from 90 S."),
        _steps("x_from", "Where the piece begins, in steps of 1e-7 degrees from the west of the cell."),
        _steps("x_to", "Where it ends; a point has x_from <= x < x_to."),
        _steps("low_a", "Its lower edge: low_a * y >= low_b * x + low_c, y in steps from the south of the cell."),
        _steps("low_b", "See low_a."),
        _steps("low_c", "See low_a."),
        _steps("high_a", "Its upper edge: high_a * y < high_b * x + high_c."),
        _steps("high_b", "See high_a."),
        _steps("high_c", "See high_a."),
        Column("location_id", INTEGER, "Number of the zone, 1 to 263; NULL for what is in no zone."),
    )
)
PUBLISHED_NAMES: Mapping[str, str] = {
    "location_id": "locationid",
    "borough": "borough",
    "zone": "zone",
    "service_zone": "service_zone",
}
# The two ids that are no place bear other texts in each variant of the file, so none of them is kept.
NO_PLACE = (264, 265)
# TLC's has 12 kB; it is read at once.
MAX_BYTES = 1 << 20


def read_zones(path: Path) -> pa.Table:
    """Read the lookup into `ZONES_SCHEMA`, ordered by id, from a CSV with any case of header.

    Raises:
        ContractError: A column is missing, or the ids are not exactly those that trips can have.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ContractError(
            f"{path.name} has {size} bytes where a zone lookup of at most {MAX_BYTES} was expected; "
            "check TAXI_ZONES_SOURCE."
        )
    table = _read_texts(path)
    missing = [name for name in PUBLISHED_NAMES.values() if name not in table.column_names]
    if missing or not table.num_rows:
        raise ContractError(
            f"{path.name} is no zone lookup: it lacks {', '.join(missing) or 'rows'}; "
            f"expected are {', '.join(PUBLISHED_NAMES.values())}."
        )
    ids = _zone_ids(table.column(PUBLISHED_NAMES["location_id"]), path)
    no_place = pc.is_in(ids, pa.array(NO_PLACE, INTEGER))
    columns = [ids]
    for name in ZONES_SCHEMA.names[1:]:
        columns.append(pc.if_else(no_place, pa.scalar(None, TEXT), table.column(PUBLISHED_NAMES[name])))
    return pa.table(columns, schema=ZONES_SCHEMA.arrow).sort_by("location_id")


def _read_texts(path: Path) -> pa.Table:
    """Read all fields as text without surrounding blanks, with column names in lower case."""
    uneven: list[pa_csv.InvalidRow] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        uneven.append(row)
        return "skip"

    parse = pa_csv.ParseOptions(invalid_row_handler=skip)
    try:
        # The names are read first, so that no column is converted to a number.
        names = pa_csv.open_csv(path, parse_options=parse).schema.names
        texts = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, TEXT), strings_can_be_null=False)
        table = pa_csv.read_csv(path, parse_options=parse, convert_options=texts)
    except pa.ArrowInvalid as error:
        raise ContractError(
            f"{path.name} is no CSV file that can be read ({error}); expected is the zone lookup."
        ) from None
    if uneven:
        raise ContractError(
            f"{path.name} has the line {uneven[0].text!r}, which has not {uneven[0].expected_columns} fields."
        )
    columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
    return pa.table(columns, names=[name.strip().lower() for name in table.column_names])


def _zone_ids(texts: pa.ChunkedArray, path: Path) -> pa.ChunkedArray:
    try:
        ids = texts.cast(INTEGER)
    except pa.ArrowInvalid as error:
        raise ContractError(f"{path.name} has a zone whose id is no number ({error}).") from None
    found = sorted(ids.to_pylist())
    if found != list(ZONES):
        odd = sorted(set(found) ^ set(ZONES)) or "ids that come twice"
        raise ContractError(
            f"{path.name} should have the zones {ZONES.start} to {ZONES.stop - 1} once each; it differs in {odd}."
        )
    return ids
