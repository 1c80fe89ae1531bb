"""Migrations of PostgreSQL's tables: applied at every start, by `taxi migrate`, and before a load.

Each migration is one transaction under a lock and is recorded in `taxi.migrations`, so it is applied once.

To change a table, append a migration. In a new database, the first migration makes the tables from the current
contract, so that later ones must check before they change: IF NOT EXISTS, IF EXISTS. A new column of the contract needs
only `follow_contract` once more, under the contract's new version.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from taxi_assets.contract.schemas import POSTGRES_TYPES, Column
from taxi_assets.contract.tables import TABLES, Table
from taxi_assets.errors import ServiceError
from taxi_assets.resources.postgres_session import check_encoding, lock_tables

SCHEMA = "taxi"
_RECORD = sql.Identifier(SCHEMA, "migrations")
_KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view", "f": "foreign table"}


@dataclass(frozen=True)
class Migration:
    """A migration; numbers count from 1 without gaps."""

    number: int
    name: str
    apply: Callable[[psycopg.Cursor], None]


def follow_contract(cursor: psycopg.Cursor) -> None:
    """Create the missing tables, add the missing columns, and set all comments."""
    for table in TABLES.values():
        create_or_extend(cursor, table)


def create_or_extend(cursor: psycopg.Cursor, table: Table) -> None:
    """Create the table if it is missing, add the missing columns, and set the comments."""
    name = sql.Identifier(SCHEMA, table.name)
    parts = sql.SQL(" PARTITION BY RANGE (source_month)" if table.by_month else "")
    cursor.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}){}").format(name, columns(table.schema.columns), parts))
    _add_columns(cursor, table)
    cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, table.description))
    for column in table.schema.columns:
        full_name = sql.Identifier(SCHEMA, table.name, column.name)
        cursor.execute(sql.SQL("COMMENT ON COLUMN {} IS {}").format(full_name, column.description))


def make_table(cursor: psycopg.Cursor, table: Table) -> None:
    """Create a table that the contract does not have, or add its missing columns; no migration knows it."""
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{SCHEMA} migrations"])
    create_or_extend(cursor, table)
    if table.clustered_by:
        cursor.execute(
            sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(
                sql.Identifier(f"{table.name}_part"),
                sql.Identifier(SCHEMA, table.name),
                sql.SQL(", ").join(map(sql.Identifier, table.clustered_by)),
            )
        )


MIGRATIONS = (Migration(1, "contract 1", follow_contract), Migration(2, "contract 2", follow_contract))


def migrate(connection: psycopg.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> list[Migration]:
    """Apply the missing migrations and return them; sets the connection to autocommit.

    Raises:
        ServiceError: The database has migrations of a newer version.
        ServiceUnavailableError: A table is in use.
    """
    connection.autocommit = True
    if _newest(connection, migrations) == len(migrations):
        return []
    applied = []
    for migration in migrations:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{SCHEMA} migrations"])
            if _newest(connection, migrations) >= migration.number:
                continue
            _prepare(cursor)
            migration.apply(cursor)
            cursor.execute(
                sql.SQL("INSERT INTO {} (number, name) VALUES (%s, %s)").format(_RECORD),
                [migration.number, migration.name],
            )
        applied.append(migration)
    return applied


def check_tables(connection: psycopg.Connection) -> None:
    """Refuse a database whose encoding or whose tables are not for trips, before anything is changed.

    Raises:
        ServiceError: The encoding cannot hold every text, or a table of one of the names is somebody else's.
    """
    check_encoding(connection)
    query = """
        SELECT relname, relkind, pg_get_userbyid(relowner), coalesce(pg_get_partkeydef(oid), ''),
            array(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
        FROM pg_class c WHERE relnamespace = to_regnamespace(%s) AND relname = ANY(%s) ORDER BY relname
    """
    for name, kind, owner, key, names in connection.execute(query, [SCHEMA, list(TABLES)]).fetchall():
        table = TABLES[name]
        ours = key == "RANGE (source_month)" if table.by_month else kind == "r" and {*names} >= {*table.schema.names}
        if not ours:
            raise ServiceError(
                f"{SCHEMA}.{name} is a {_KINDS.get(kind, 'relation')} of {owner} that Taxi Assets did not make, with "
                f"the columns {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}; rename it, move it to another "
                "schema, or let TAXI_POSTGRES_URL name another database. Nothing was changed."
            )


def restore_tables(connection: psycopg.Connection) -> list[str]:
    """Make tables and columns anew that were dropped since the migrations, and return them in words."""
    connection.autocommit = True
    if not (missing := _missing(connection.cursor())):
        return []
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{SCHEMA} migrations"])
        follow_contract(cursor)
    return [f"{name}, which was missing" for name in missing]


def _missing(cursor: psycopg.Cursor) -> list[str]:
    """Return the tables, and columns of existing tables, that the contract has and the database has not."""
    query = """
        SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = to_regnamespace(%s) AND relname = ANY(%s) AND attnum > 0 AND NOT attisdropped
    """
    found = set(cursor.execute(query, [SCHEMA, list(TABLES)]).fetchall())
    tables = {table for table, _ in found}
    missing = [f"{SCHEMA}.{name}" for name in TABLES if name not in tables]
    for name in tables:
        missing += [f"{SCHEMA}.{name}.{column}" for column in TABLES[name].schema.names if (name, column) not in found]
    return sorted(missing)


def columns(of: Sequence[Column]) -> sql.Composable:
    """Return the columns in the syntax of CREATE TABLE and ADD COLUMN."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(c.name),
            sql.SQL(POSTGRES_TYPES[c.type]),
            sql.SQL(" NOT NULL" if c.name == "source_month" else ""),
        )
        for c in of
    )


def _newest(connection: psycopg.Connection, migrations: Sequence[Migration]) -> int:
    """Return the number of the newest applied migration, or 0."""
    # Not to_regclass, whose cached result may be from before the lock was taken.
    query = "SELECT FROM pg_tables WHERE schemaname = %s AND tablename = 'migrations'"
    if not connection.execute(query, [SCHEMA]).fetchall():
        return 0
    [(newest,)] = connection.execute(sql.SQL("SELECT coalesce(max(number), 0) FROM {}").format(_RECORD))
    if newest > len(migrations):
        raise ServiceError(
            f"The database has step {newest} of its tables, and this version has {len(migrations)}: a newer version "
            "of Taxi Assets was here. Upgrade this one, or restore a backup from before."
        )
    return int(newest)


def _prepare(cursor: psycopg.Cursor) -> None:
    # IF NOT EXISTS needs the right to create schemas even if the schema exists.
    if not cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", [SCHEMA]).fetchall():
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
    cursor.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (number integer PRIMARY KEY, name text NOT NULL, "
            "applied_at timestamptz NOT NULL DEFAULT now())"
        ).format(_RECORD)
    )


def _add_columns(cursor: psycopg.Cursor, table: Table) -> None:
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND NOT attisdropped",
        [f"{SCHEMA}.{table.name}"],
    )
    present = {row[0] for row in cursor.fetchall()}
    if missing := [column for column in table.schema.columns if column.name not in present]:
        lock_tables(cursor, [f"{SCHEMA}.{table.name}"])
    for column in missing:
        cursor.execute(
            sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(sql.Identifier(SCHEMA, table.name), columns([column]))
        )
