"""The taxi zone lookup: what every zone id means, in one form from any variant that TLC published. Pure."""

import csv
from pathlib import Path

import pyarrow as pa

from taxi_assets.contract.rules import ZONES
from taxi_assets.contract.schemas import INTEGER, TEXT, Column, Schema
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
# The two ids that are no place bear other texts in each variant of the file, so none of them is kept.
NO_PLACE = (264, 265)
# TLC's has 12 kB; it is read at once.
MAX_BYTES = 1 << 20


def read_zones(path: Path) -> pa.Table:
    """The lookup in `ZONES_SCHEMA`, ordered by id, from a CSV with any case of header.

    Raises:
        ContractError: a column is missing, or the ids are not exactly those that trips can have.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ContractError(
            f"{path.name} has {path.stat().st_size} bytes where a zone lookup of at most {MAX_BYTES} was expected; "
            "check TAXI_ZONES_SOURCE."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ContractError(
            f"{path.name} is no CSV file that can be read ({error}); expected is the zone lookup."
        ) from error
    header = [name.strip().lower() for name in lines[0]] if lines else []
    uneven = [row for row in lines if len(row) != len(header)]
    if uneven:
        raise ContractError(f"{path.name} has the line {','.join(uneven[0])!r}, which has not {len(header)} fields.")
    rows = [dict(zip(header, (value.strip() for value in row), strict=True)) for row in lines[1:]]
    names = {"location_id": "locationid", "borough": "borough", "zone": "zone", "service_zone": "service_zone"}
    missing = [name for name in names.values() if rows and name not in rows[0]]
    if missing or not rows:
        raise ContractError(
            f"{path.name} is no zone lookup: it lacks {', '.join(missing) or 'rows'}; "
            f"expected are {', '.join(names.values())}."
        )
    try:
        rows.sort(key=lambda row: int(row["locationid"]))
    except ValueError as error:
        raise ContractError(f"{path.name} has a zone whose id is no number ({error}).") from error
    found = [int(row["locationid"]) for row in rows]
    if found != list(ZONES):
        odd = sorted(set(found) ^ set(ZONES)) or "ids that come twice"
        raise ContractError(
            f"{path.name} should have the zones {ZONES.start} to {ZONES.stop - 1} once each; it differs in {odd}."
        )
    texts = {
        name: [None if row["locationid"] in map(str, NO_PLACE) else row[published] for row in rows]
        for name, published in names.items()
        if name != "location_id"
    }
    return pa.table({"location_id": found, **texts}, schema=ZONES_SCHEMA.arrow)
