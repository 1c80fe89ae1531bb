"""A month of trips as a partition: staged in a table of its own, then put in place of the published one.

The published partition is exchanged for the staging table, which takes milliseconds. If somebody's view, index, grant
or foreign key hangs on the partition, its rows are replaced instead: that takes longer and leaves all of it as it is.
"""

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pgpq
import psycopg
import pyarrow.parquet as pq
from psycopg import sql

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.rules import GRACE
from taxi_assets.contract.schemas import POSTGRES_TYPES, TIME
from taxi_assets.contract.tables import trips_table
from taxi_assets.errors import ServiceError
from taxi_assets.months import month_text, next_month
from taxi_assets.resources.postgres_session import lock_tables
from taxi_assets.resources.postgres_tables import SCHEMA

COPY_ROWS = 1 << 15
# The constraint that lets PostgreSQL leave out the partitions whose pickups are all before or after those asked for.
PICKUP_CHECK = "pickup_near_source_month"
_TYPES = {TIME: "timestamp without time zone"}
_INDEX = re.compile(r"^CREATE (UNIQUE )?INDEX (\S+) ON (?:ONLY )?\S+ USING ")


@dataclass(frozen=True)
class Partition:
    """Names of a month's partition; its staging table exists within one transaction only."""

    dataset: Dataset
    month: date

    @property
    def name(self) -> str:
        """Return the partition's name without its schema."""
        return f"{trips_table(self.dataset.name)}_{self.month:%Y_%m}"

    @property
    def parent(self) -> str:
        """Return the table's name with its schema."""
        return f"{SCHEMA}.{trips_table(self.dataset.name)}"

    @property
    def staging(self) -> str:
        """Return the staging table's name without its schema."""
        return f"{self.name}_staging"


def create_staging(cursor: psycopg.Cursor, of: Partition, manifest: Manifest) -> None:
    """Create the staging table as the parent is, with the columns and constraints that others added to it."""
    # Not LIKE the parent: that would lock it until the end, against every other month.
    parts = [*_columns(cursor, of), *_constraints(cursor, of)]
    bounds = "CHECK (source_month >= {} AND source_month < {})"
    parts.append(sql.SQL(bounds).format(of.month, next_month(of.month)))
    if _is_near(of, manifest):
        check = "CONSTRAINT {} CHECK (pickup_datetime >= {} AND pickup_datetime < {})"
        parts.append(sql.SQL(check).format(sql.Identifier(PICKUP_CHECK), *_pickup_bounds(of.month)))
    name = sql.Identifier(SCHEMA, of.staging)
    cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(name, sql.SQL(", ").join(parts)))


def _pickup_bounds(month: date) -> tuple[date, date]:
    return month - GRACE, next_month(month) + GRACE


def _is_near(of: Partition, manifest: Manifest) -> bool:
    """Return whether all kept pickups are near the month, as the contract's rule has it unless it was off."""
    kept, (first, end) = manifest.kept, _pickup_bounds(of.month)
    if kept.first_pickup is None or kept.last_pickup is None:
        return True
    return first <= kept.first_pickup.date() and kept.last_pickup.date() < end


def _columns(cursor: psycopg.Cursor, of: Partition) -> list[sql.Composable]:
    """Return the parent's columns as CREATE TABLE takes them.

    Raises:
        ServiceError: Somebody gave a column of the contract another type.
    """
    query = """
        SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid),
            CASE attgenerated WHEN '' THEN 'DEFAULT {}' WHEN 'v' THEN 'GENERATED ALWAYS AS ({}) VIRTUAL'
                ELSE 'GENERATED ALWAYS AS ({}) STORED' END
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
    """
    # As PostgreSQL itself writes the types.
    wanted = {c.name: _TYPES.get(c.type, POSTGRES_TYPES[c.type]) for c in of.dataset.schema.columns}
    parts: list[sql.Composable] = []
    for name, kind, not_null, expression, clause in cursor.execute(query, [of.parent]).fetchall():
        if name in wanted and kind != wanted[name]:
            raise ServiceError(
                f"The column {name} of {of.parent} is of the type {kind}, and {wanted[name]} is expected; change it "
                f"back by `ALTER TABLE {of.parent} ALTER COLUMN {name} TYPE {wanted[name]}`, then run it again."
            )
        default = sql.SQL(clause).format(sql.SQL(expression)) if expression else sql.SQL("")
        null = sql.SQL("NOT NULL" if not_null else "")
        parts.append(sql.SQL(" ").join([sql.Identifier(name), sql.SQL(kind), default, null]))
    return parts


def _constraints(cursor: psycopg.Cursor, of: Partition) -> list[sql.Composable]:
    """Return the CHECKs that others put on the parent."""
    query = """
        SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = %s::regclass AND contype = 'c' AND NOT connoinherit ORDER BY conname
    """
    found = cursor.execute(query, [of.parent]).fetchall()
    return [sql.SQL("CONSTRAINT {} {}").format(sql.Identifier(name), sql.SQL(text)) for name, text in found]


def copy(cursor: psycopg.Cursor, table: str, path: Path, *, freeze: bool = False) -> None:
    """Stream a Parquet file into a table of the schema; FREEZE is for a table made in this transaction."""
    file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    encoder = pgpq.ArrowToPostgresBinaryEncoder(file.schema_arrow.remove_metadata())
    columns = sql.SQL(", ").join(map(sql.Identifier, file.schema_arrow.names))
    options = sql.SQL("FORMAT binary, FREEZE" if freeze else "FORMAT binary")
    name = sql.Identifier(SCHEMA, table)
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN ({})").format(name, columns, options)) as stream:
        stream.write(encoder.write_header())
        for batch in file.iter_batches(COPY_ROWS):
            stream.write(encoder.write_batch(batch))
        stream.write(encoder.finish())


def month_totals(cursor: psycopg.Cursor, table: str, dataset: Dataset, month: date) -> Totals:
    """Return the totals of a month's rows in a table of the schema."""
    money = dataset.schema.money
    sums = [sql.SQL(", sum(floor({} * 100.0 + 0.5))").format(sql.Identifier(name)) for name in money]
    texts = dataset.schema.texts
    lengths = [sql.SQL(", sum(char_length({}))").format(sql.Identifier(name)) for name in texts]
    cursor.execute(
        sql.SQL(
            "SELECT count(*), min(pickup_datetime), max(pickup_datetime){}{} FROM {} WHERE source_month = %s"
        ).format(sql.Composed(sums), sql.Composed(lengths), sql.Identifier(SCHEMA, table)),
        [month],
    )
    row = cursor.fetchone()
    assert row is not None
    numbers = [int(value or 0) for value in row[3:]]
    cents, characters = numbers[: len(money)], numbers[len(money) :]
    return Totals(
        row[0], dict(zip(money, cents, strict=True)), row[1], row[2], dict(zip(texts, characters, strict=True))
    )


def publish(cursor: psycopg.Cursor, of: Partition, manifest: Manifest) -> None:
    """Put the staged rows in place of the published ones.

    Raises:
        ServiceError: A table of that name is not this table's partition.
        ServiceUnavailableError: The table is in use by others for longer than a load waits.
    """
    old = _attached(cursor, of)
    if old and _is_shared(cursor, of):
        _replace_rows(cursor, of, manifest)
    else:
        _prepare_indexes(cursor, of)
        _swap(cursor, of, old)
    name = sql.Identifier(SCHEMA, of.name)
    cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, manifest.to_json()))


def _attached(cursor: psycopg.Cursor, of: Partition) -> bool:
    """Return whether the month has a partition."""
    query = """
        SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent = %s::regclass),
            pg_get_userbyid(c.relowner)
        FROM pg_class c WHERE c.oid = to_regclass(%s)
    """
    found = cursor.execute(query, [of.parent, f"{SCHEMA}.{of.name}"]).fetchone()
    if found is not None and not found[0]:
        raise ServiceError(
            f"{SCHEMA}.{of.name}, which belongs to {found[1]}, is no partition of {of.parent}, and the month "
            f"{month_text(of.month)} needs its name; rename or drop it, then run it again."
        )
    return found is not None


def _is_shared(cursor: psycopg.Cursor, of: Partition) -> bool:
    """Return whether anything hangs on the partition that a new table in its place would lack."""
    query = """
        WITH old AS (SELECT * FROM pg_class WHERE oid = %(old)s::regclass),
            new AS (SELECT * FROM pg_class WHERE oid = %(new)s::regclass)
        SELECT old.relowner <> new.relowner OR old.relacl IS DISTINCT FROM new.relacl
            OR old.reloptions IS DISTINCT FROM new.reloptions OR old.reltablespace <> new.reltablespace
            OR old.relrowsecurity OR old.relreplident <> new.relreplident
            OR EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_class'::regclass AND refobjid = old.oid
                AND deptype = 'n'
                AND objid NOT IN (SELECT oid FROM pg_constraint WHERE conrelid = old.oid)
                AND objid NOT IN (SELECT oid FROM pg_attrdef WHERE adrelid = old.oid)
                AND objid NOT IN (SELECT indexrelid FROM pg_index WHERE indrelid = old.oid))
            OR EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_type'::regclass AND deptype = 'n'
                AND refobjid IN (old.reltype, (SELECT typarray FROM pg_type WHERE oid = old.reltype)))
            OR EXISTS (SELECT FROM pg_index LEFT JOIN pg_inherits ON inhrelid = indexrelid
                WHERE indrelid = old.oid AND inhrelid IS NULL)
            OR EXISTS (SELECT FROM pg_trigger WHERE tgrelid = old.oid AND NOT tgisinternal AND tgparentid = 0)
            OR EXISTS (SELECT FROM pg_constraint WHERE conrelid = old.oid AND conparentid = 0 AND contype IN ('f', 'x'))
            OR EXISTS (SELECT FROM pg_statistic_ext WHERE stxrelid = old.oid)
            OR EXISTS (SELECT FROM pg_publication_rel WHERE prrelid = old.oid)
            OR EXISTS (SELECT FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid = old.oid
                AND objsubid > 0)
            OR EXISTS (SELECT FROM pg_attribute WHERE attrelid = old.oid AND attacl IS NOT NULL)
        FROM old, new
    """
    names = {"old": f"{SCHEMA}.{of.name}", "new": f"{SCHEMA}.{of.staging}"}
    [(shared,)] = cursor.execute(query, names).fetchall()
    return bool(shared)


def _replace_rows(cursor: psycopg.Cursor, of: Partition, manifest: Manifest) -> None:
    """Delete the partition's rows and insert the staged ones; readers see the old rows until the commit."""
    old, staging = sql.Identifier(SCHEMA, of.name), sql.Identifier(SCHEMA, of.staging)
    if not _is_near(of, manifest):
        lock_tables(cursor, [f"{SCHEMA}.{of.name}"])
        cursor.execute(sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(old, sql.Identifier(PICKUP_CHECK)))
    else:
        lock_tables(cursor, [f"{SCHEMA}.{of.name}"], "SHARE ROW EXCLUSIVE")
    columns = sql.SQL(", ").join(map(sql.Identifier, of.dataset.schema.names))
    cursor.execute(sql.SQL("DELETE FROM {}").format(old))
    cursor.execute(sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(old, columns, columns, staging))
    cursor.execute(sql.SQL("DROP TABLE {}").format(staging))


def _prepare_indexes(cursor: psycopg.Cursor, of: Partition) -> None:
    """Create the parent's indexes on the staging table, so that attaching it under the lock builds none."""
    query = "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass ORDER BY indexrelid"
    for (text,) in cursor.execute(query, [of.parent]).fetchall():
        found = _INDEX.match(text)
        assert found, text
        start = f"CREATE {found[1] or ''}INDEX ON "
        table = sql.Identifier(SCHEMA, of.staging)
        cursor.execute(sql.SQL(start) + table + sql.SQL(" USING ") + sql.SQL(text[found.end() :]))


def _default_partition(cursor: psycopg.Cursor, of: Partition) -> list[str]:
    """Return the parent's DEFAULT partition, if somebody made one: attaching a partition locks it against readers."""
    query = """
        SELECT format('%%I.%%I', nspname, relname) FROM pg_partitioned_table
        JOIN pg_class c ON c.oid = partdefid JOIN pg_namespace n ON n.oid = relnamespace
        WHERE partrelid = %s::regclass
    """
    return [name for (name,) in cursor.execute(query, [of.parent]).fetchall()]


def _swap(cursor: psycopg.Cursor, of: Partition, old: bool) -> None:
    """Put the staging table in the partition's place."""
    parent, partition = sql.Identifier(*of.parent.split(".")), sql.Identifier(SCHEMA, of.name)
    staging = sql.Identifier(SCHEMA, of.staging)
    default = _default_partition(cursor, of)
    if old:
        lock_tables(cursor, [of.parent, f"{SCHEMA}.{of.name}", *default])
        cursor.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(parent, partition))
        cursor.execute(sql.SQL("DROP TABLE {}").format(partition))
    elif default:
        # In this order, as above: two loads that lock them in another one would wait for each other.
        lock_tables(cursor, [of.parent], "SHARE UPDATE EXCLUSIVE")
        lock_tables(cursor, default)
    cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(staging, sql.Identifier(of.name)))
    # The table's CHECK equals the bounds, so that attaching reads no rows.
    attach = "ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})"
    cursor.execute(sql.SQL(attach).format(parent, partition, of.month, next_month(of.month)))
