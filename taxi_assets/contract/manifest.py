"""What is known of a cleaned month: counted once while its rows stream, then compared everywhere.

The manifest travels in the metadata of the kept rows' Parquet file and of its object in the lake,
so that any machine can audit a sink without reading the rows again.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from taxi_assets.contract.rules import Rows
from taxi_assets.contract.schemas import Schema
from taxi_assets.errors import BadFileError

METADATA_KEY = b"taxi_assets"
# The most lines that Excel keeps of a file, its header among them.
EXCEL_LINES = 1_048_576


@dataclass
class Totals:
    """What an audit compares: rows, sums of the money columns in cents, first and last pickup, lengths of texts.

    Cents are rounded row by row, as floor(100 x + 0.5): an integer sum is the same in any order
    and on any engine, which a sum of floating-point dollars is not. `characters` are the summed lengths of the text
    columns, which differ if text was garbled on its way; manifests written before release 0.2 have none.
    """

    rows: int = 0
    cents: dict[str, int] = field(default_factory=dict)
    first_pickup: datetime | None = None
    last_pickup: datetime | None = None
    characters: dict[str, int] = field(default_factory=dict)

    def add(self, batch: pa.RecordBatch, schema: Schema) -> None:
        """Count a batch of canonical rows in."""
        if not batch.num_rows:
            return
        rows = Rows(batch)
        self.rows += len(rows)
        for name in schema.money:
            self.cents[name] = self.cents.get(name, 0) + (_cents(rows, name) if rows.has(name) else 0)
        for name in schema.texts:
            length = pc.sum(pc.utf8_length(batch.column(name))).as_py() if name in batch.schema.names else 0
            self.characters[name] = self.characters.get(name, 0) + (length or 0)
        ends = pc.min_max(batch.column("pickup_datetime")).as_py()
        self.merge(Totals(first_pickup=ends["min"], last_pickup=ends["max"]))

    def merge(self, other: "Totals") -> None:
        """Count other rows' totals in."""
        self.rows += other.rows
        for name, cents in other.cents.items():
            self.cents[name] = self.cents.get(name, 0) + cents
        for name, length in other.characters.items():
            self.characters[name] = self.characters.get(name, 0) + length
        firsts = [t for t in (self.first_pickup, other.first_pickup) if t is not None]
        lasts = [t for t in (self.last_pickup, other.last_pickup) if t is not None]
        self.first_pickup, self.last_pickup = min(firsts, default=None), max(lasts, default=None)

    def compare(self, other: "Totals") -> list[tuple[str, Any, Any]]:
        """Return what differs as (name, this value, other value); empty if all is equal."""
        pairs: list[tuple[str, Any, Any]] = [("rows", self.rows, other.rows)]
        names = sorted({*self.cents, *other.cents})
        pairs += [(f"cents of {n}", self.cents.get(n, 0), other.cents.get(n, 0)) for n in names]
        pairs += [("first pickup", self.first_pickup, other.first_pickup)]
        pairs += [("last pickup", self.last_pickup, other.last_pickup)]
        if self.characters and other.characters:
            texts = sorted({*self.characters, *other.characters})
            pairs += [(f"characters of {n}", self.characters.get(n, 0), other.characters.get(n, 0)) for n in texts]
        return [(what, mine, theirs) for what, mine, theirs in pairs if mine != theirs]

    def differences(self, other: "Totals") -> list[str]:
        """Return one phrase for each difference, this value first; empty if all is equal."""
        return [f"{what} {mine} against {theirs}" for what, mine, theirs in self.compare(other)]


def _cents(rows: Rows, name: str) -> int:
    values = rows.values(name)
    nulls = rows.nulls(name)
    present = values if nulls is None else values[~nulls]
    return int(np.floor(present * 100.0 + 0.5).astype(np.int64).sum())


@dataclass
class Cause:
    """Why rows are unreadable: a column that expects one thing, and one of the values that are something else."""

    text: str
    column: str | None
    expected: str
    value: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}: {self.text}"


@dataclass
class Manifest:
    """A cleaned month: where its rows come from, what became of each, and the totals of the kept ones.

    `ignored` are published columns that carry nothing of a trip, `discarded` unknown ones that the run was told to
    leave out. `zones` are the time zones that times of the file are marked with; `zoned_times` is how those marked
    UTC were read, None without any. `causes` are the most frequent ones of unreadable rows.
    """

    dataset: str
    month: date
    contract_version: str
    raw_file: str
    raw_sha256: str
    raw_rows: int
    layout: str
    source: str
    rejected: dict[str, int]
    flagged: dict[str, int]
    rules_off: list[str]
    kept: Totals
    ignored: list[str] = field(default_factory=list)
    discarded: list[str] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    zoned_times: str | None = None
    causes: list[Cause] = field(default_factory=list)

    @property
    def rejected_rows(self) -> int:
        """Rows that any rule rejected."""
        return sum(self.rejected.values())

    @property
    def rejected_share(self) -> float:
        """Share of the raw rows that were rejected, 0 to 1."""
        return self.rejected_rows / self.raw_rows if self.raw_rows else 0.0

    def to_json(self) -> str:
        """Return one line of JSON; equal manifests give equal text."""
        return json.dumps(asdict(self), default=lambda value: value.isoformat())

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Return the manifest that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        if "doubtful" in values:  # the name in manifests written before release 0.2
            values["flagged"] = values.pop("doubtful")
        kept = values["kept"]
        for name in ("first_pickup", "last_pickup"):
            kept[name] = datetime.fromisoformat(kept[name]) if kept[name] else None
        values |= {"month": date.fromisoformat(values["month"]), "kept": Totals(**kept)}
        values["causes"] = [Cause(**cause) for cause in values.get("causes", [])]
        return cls(**values)

    @classmethod
    def of_file(cls, path: Path) -> "Manifest":
        """Return the manifest in the metadata of a kept rows' Parquet file.

        Raises:
            BadFileError: The file has none, so that this project did not write it.
        """
        metadata: Mapping[bytes, bytes] = pq.read_metadata(path).metadata or {}
        if METADATA_KEY not in metadata:
            raise BadFileError(f"{path.name} has no manifest in its metadata; materialize clean_parquet again.")
        return cls.from_json(metadata[METADATA_KEY].decode())


def is_cut_by_excel(manifest: Manifest) -> bool:
    """Return whether a CSV has just as many lines as Excel keeps, so that the rest of its month is probably lost."""
    return manifest.layout.startswith("csv") and manifest.raw_rows in (EXCEL_LINES - 1, EXCEL_LINES)
