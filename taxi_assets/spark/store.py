"""A dataset's year in the lake: files under a name of their own, and a manifest, written last, that names them.

Under `history/<dataset>/<year>/` each attempt writes to a folder `<version>/`. Readers follow `manifest.json`, so that
they see the old year or the new one, whatever was killed meanwhile.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from taxi_assets.errors import ServiceError
from taxi_assets.resources.lake import LakeObject, LakeResource

# What a run that is still under way may have written.
YOUNG = timedelta(days=1)


@dataclass(frozen=True)
class HistoryFile:
    """The object of a table's rows in the lake, and how many there are."""

    object: str
    rows: int


@dataclass(frozen=True)
class HistoryYear:
    """What the lake has of a dataset's year; `months` maps those that were read to the checksums of their objects."""

    dataset: str
    year: int
    version: str
    code: str
    spark: str
    months: Mapping[str, str]
    tables: Mapping[str, HistoryFile]

    @property
    def rows(self) -> dict[str, int]:
        """The rows of each table."""
        return {name: file.rows for name, file in self.tables.items()}


def year_prefix(dataset: str, year: int) -> str:
    """Return the prefix of all that belongs to a dataset's year."""
    return f"history/{dataset}/{year}/"


def manifest_object(dataset: str, year: int) -> str:
    """Return the object that names the files of a dataset's year."""
    return f"{year_prefix(dataset, year)}manifest.json"


def new_version() -> str:
    """Return a name that no attempt had before; names ascend with time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


def find_year(lake: LakeResource, dataset: str, year: int) -> tuple[LakeObject, HistoryYear]:
    """Return the manifest of a dataset's year, as an object and read.

    Raises:
        ServiceError: There is none, or it was not made by this project.
    """
    name = manifest_object(dataset, year)
    item = lake.find(name)
    if item is None:
        raise ServiceError(f"gs://{lake.bucket}/{name} is not there; materialize history/{dataset} of {year} first.")
    try:
        found: dict[str, Any] = json.loads(lake.fetch(name).read_text(encoding="utf-8"))
        files = {table: HistoryFile(**file) for table, file in found.pop("tables").items()}
        return item, HistoryYear(**found, tables=files)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServiceError(
            f"{item.uri} is no manifest of history ({type(error).__name__}); materialize history/{dataset} of {year} "
            "again."
        ) from error


def publish_year(lake: LakeResource, made: HistoryYear) -> LakeObject:
    """Write the manifest, then remove the files of versions before the one that it replaces."""
    name = manifest_object(made.dataset, made.year)
    try:
        replaced = find_year(lake, made.dataset, made.year)[1].version
    except ServiceError:
        replaced = None
    with lake.scratch() as folder:
        path = Path(folder) / "manifest.json"
        path.write_text(json.dumps(asdict(made), indent=2), encoding="utf-8")
        item = lake.put(path, name, {"version": made.version})
    prefix = year_prefix(made.dataset, made.year)
    # The replaced version stays for a load that reads it; another attempt may be writing what is young.
    kept = tuple(f"{prefix}{version}/" for version in (made.version, replaced) if version)
    oldest = datetime.now(UTC) - YOUNG
    for found in lake.list(prefix):
        if found.name != name and not found.name.startswith(kept) and found.updated < oldest:
            lake.remove(found)
    return item
