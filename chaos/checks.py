"""What must hold after a fault and after the rerun, asked of the stores themselves."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import GoogleAPIError, NotFound

from chaos.months import Month, Version
from chaos.stage import Stage
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object
from taxi_assets.contract.tables import trips_table
from taxi_assets.errors import TaxiError
from taxi_assets.reconcile.verify import verify

PLACES = ("lake", "bigquery", "postgres")
PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Held:
    """A month in one place: rows, a hash over all of them, and the money columns' sum in cents; rows 0 if missing."""

    rows: int
    cents: int
    digest: str


def expected_cents(version: Version) -> tuple[int, int]:
    """Return rows and cents that a place holds of a version."""
    kept = version.manifest.kept
    return kept.rows, sum(kept.cents.values())


def held(stage: Stage, month: Month) -> dict[str, Held]:
    """Return what each place holds of the month."""
    return {
        "lake": _lake(stage, month),
        "bigquery": _bigquery(stage, month),
        "postgres": held_by_postgres(stage, month),
    }


def _lake(stage: Stage, month: Month) -> Held:
    name = clean_object(month.dataset, month.month)
    found = stage.lake.find(name)
    if found is None:
        return Held(0, 0, "")
    manifest = Manifest.from_json(found.metadata["manifest"])
    # Not by way of the cache, whose copy may be another's: the object's own bytes.
    data = stage.lake.get_client().bucket(stage.lake.bucket).blob(name).download_as_bytes()
    table = pq.read_table(pa.BufferReader(data))
    digest = hashlib.sha256()
    for batch in table.to_batches():
        digest.update(repr(batch.to_pydict()).encode())
    if table.num_rows != manifest.kept.rows:
        return Held(table.num_rows, -1, "rows and manifest differ")
    return Held(table.num_rows, sum(manifest.kept.cents.values()), digest.hexdigest())


def _bigquery(stage: Stage, month: Month) -> Held:
    digest = "IFNULL(CAST(BIT_XOR(FARM_FINGERPRINT(TO_JSON_STRING(t))) AS STRING), '')"
    return Held(*_query_bigquery(stage, month, digest))


def _query_bigquery(stage: Stage, month: Month, digest: str = "''") -> tuple[int, int, str]:
    table = stage.bigquery.table(DATASETS[month.dataset])
    query = f"SELECT COUNT(*), {_cents_sql(month)}, {digest} FROM `{table}` t WHERE source_month = '{month.month}'"
    with stage.bigquery.get_client() as client:
        try:
            client.get_table(table)
        except NotFound:
            return 0, 0, ""
        rows = list(client.query_and_wait(query))
    if not rows:
        raise OSError(f"BigQuery gave no row for a count of {table}")
    return rows[0][0], int(rows[0][1]), rows[0][2]


def held_by_postgres(stage: Stage, month: Month) -> Held:
    """Return what PostgreSQL holds of the month."""
    return Held(*_query_postgres(stage, month, "coalesce(sum(hashtextextended(t::text, 0))::text, '')"))


def _query_postgres(stage: Stage, month: Month, digest: str = "''") -> tuple[int, int, str]:
    table = trips_table(month.dataset)
    query = f"SELECT count(*), {_cents_sql(month)}, {digest} FROM taxi.{table} t WHERE source_month = %s"
    with psycopg.connect(stage.postgres_url) as connection:
        try:
            [(rows, cents, text)] = connection.execute(query, [month.month]).fetchall()  # type: ignore[arg-type]
        except psycopg.errors.UndefinedTable:
            return 0, 0, ""
    return rows, int(cents), text


def _cents_sql(month: Month) -> str:
    """Return SQL of the sum of all money columns in cents, as the manifest counts them."""
    money = DATASETS[month.dataset].schema.money
    sums = [f"COALESCE(SUM(FLOOR({name} * 100.0 + 0.5)), 0)" for name in money]
    return " + ".join(sums) or "0"


@dataclass
class Reader:
    """What readers saw of a month in a loop: values that are of no version, errors, and the longest wait."""

    wrong: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    longest_seconds: float = 0.0
    reads: int = 0


@contextmanager
def reading(stage: Stage, month: Month, allowed: set[tuple[int, int]]) -> Iterator[Reader]:
    """Read the month in both warehouses and the lake in a loop; only the `allowed` rows and cents are right."""
    reader, stop = Reader(), threading.Event()
    loops = [(_read_postgres, "PostgreSQL"), (_read_bigquery, "BigQuery"), (_read_lake, "the lake")]
    threads = [
        threading.Thread(target=_loop, args=(read, place, stage, month, allowed, reader, stop), daemon=True)
        for read, place in loops
    ]
    for thread in threads:
        thread.start()
    try:
        yield reader
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def _loop(
    read: Callable[[Stage, Month], tuple[int, int]],
    place: str,
    stage: Stage,
    month: Month,
    allowed: set[tuple[int, int]],
    reader: Reader,
    stop: threading.Event,
) -> None:
    while not stop.is_set():
        began = time.monotonic()
        try:
            seen = read(stage, month)
        except (psycopg.Error, GoogleAPIError, TaxiError, OSError) as error:
            reader.errors.append(f"{place}: {type(error).__name__}: {str(error)[:200]}")
        else:
            reader.longest_seconds = max(reader.longest_seconds, time.monotonic() - began)
            reader.reads += 1
            if seen not in allowed:
                reader.wrong.append(f"a reader of {place} saw {seen[0]} rows and {seen[1]} cents")
        stop.wait(PAUSE_SECONDS)


def _read_postgres(stage: Stage, month: Month) -> tuple[int, int]:
    return _query_postgres(stage, month)[:2]


def _read_bigquery(stage: Stage, month: Month) -> tuple[int, int]:
    return _query_bigquery(stage, month)[:2]


def _read_lake(stage: Stage, month: Month) -> tuple[int, int]:
    found = stage.lake.find(clean_object(month.dataset, month.month))
    if found is None:
        return 0, 0
    kept = Manifest.from_json(found.metadata["manifest"]).kept
    return kept.rows, sum(kept.cents.values())


def conservation(stage: Stage, month: Month) -> list[str]:
    """Return what breaks "raw rows = kept + rejected" in the published month.

    The two objects cannot be published at once. Rejected rows of another cleaning, as a run leaves them that was killed
    in between, say so, and `verified` must find them.
    """
    found = stage.lake.find(clean_object(month.dataset, month.month))
    if found is None:
        return []
    manifest = Manifest.from_json(found.metadata["manifest"])
    rejected = stage.lake.find(rejected_object(month.dataset, month.month))
    if rejected and rejected.metadata.get("cleaning") != found.metadata.get("cleaning"):
        return (
            [] if verified(stage, month) else ["the rejected rows are of another cleaning, and verify does not see it"]
        )
    rejected_rows = int(rejected.metadata["rows"]) if rejected and "rows" in rejected.metadata else None
    problems = []
    if manifest.raw_rows != manifest.kept.rows + manifest.rejected_rows:
        problems.append(f"raw {manifest.raw_rows} is not kept {manifest.kept.rows} + rejected {manifest.rejected_rows}")
    if rejected_rows is not None and rejected_rows != manifest.rejected_rows:
        problems.append(f"the lake has {rejected_rows} rejected rows, the manifest {manifest.rejected_rows}")
    return problems


def leftovers(stage: Stage, month: Month) -> list[str]:
    """Return what is left of unfinished work after a month's successful run."""
    data = stage.settings.data_dir
    found = [f"scratch {path.name}" for path in (data / "tmp").glob("*")]
    cache = data / "cache"
    found += [f"part {path.name}" for path in cache.rglob("*.part*") if month.file_name in path.name]
    found += [f"object {item.name}" for item in stage.lake.list(PENDING) if f"/{month.dataset}/" in item.name]
    name = f"{trips_table(month.dataset)}"
    found += [f"BigQuery {table}" for table in stage.bigquery.staging_tables() if name in table]
    found += [f"PostgreSQL {table}" for table in stage.postgres.staging_tables() if name in table]
    with psycopg.connect(stage.postgres_url) as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
        [(locks,)] = connection.execute(f"{query} WHERE datname = current_database())").fetchall()
        if locks:
            found.append(f"{locks} advisory locks")
    return found


def verified(stage: Stage, month: Month) -> list[str]:
    """Return what `taxi verify` finds for the month."""
    report = verify(DATASETS[month.dataset], stage.lake, [stage.bigquery, stage.postgres], month.month, month.month)
    differences = [f"verify: {item.place} has {item.found}, not {item.expected}" for item in report.differences]
    return differences + [f"verify: {place}: {reason}" for place, reason in report.unasked.items()]
