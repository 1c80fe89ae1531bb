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

SCHEMA = "taxi"
# Publishing and migrating wait this long for readers of the table; they lock it for milliseconds.
LOCK_TIMEOUT = "60s"
_RECORD = sql.Identifier(SCHEMA, "migrations")


@dataclass(frozen=True)
class Migration:
    """A migration; numbers count from 1 without gaps."""

    number: int
    name: str
    apply: Callable[[psycopg.Cursor], None]


def follow_contract(cursor: psycopg.Cursor) -> None:
    """Create the missing tables, add the missing columns, and set all comments."""
    for table in TABLES.values():
        name = sql.Identifier(SCHEMA, table.name)
        parts = sql.SQL(" PARTITION BY RANGE (source_month)" if table.by_month else "")
        cursor.execute(
            sql.SQL("CREATE TABLE IF NOT EXISTS {} ({}){}").format(name, columns(table.schema.columns), parts)
        )
        _add_columns(cursor, table)
        cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(name, table.description))
        for column in table.schema.columns:
            full_name = sql.Identifier(SCHEMA, table.name, column.name)
            cursor.execute(sql.SQL("COMMENT ON COLUMN {} IS {}").format(full_name, column.description))


MIGRATIONS = (Migration(1, "contract 1", follow_contract),)


def migrate(connection: psycopg.Connection, migrations: Sequence[Migration] = MIGRATIONS) -> list[Migration]:
    """Apply the missing migrations and return them; sets the connection to autocommit.

    Raises:
        ServiceError: The database has migrations of a newer version.
        psycopg.errors.LockNotAvailable: A table was in use for longer than `LOCK_TIMEOUT`.
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
            cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
            _prepare(cursor)
            migration.apply(cursor)
            cursor.execute(
                sql.SQL("INSERT INTO {} (number, name) VALUES (%s, %s)").format(_RECORD),
                [migration.number, migration.name],
            )
        applied.append(migration)
    return applied


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
    cursor.execute("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass", [f"{SCHEMA}.{table.name}"])
    present = {row[0] for row in cursor.fetchall()}
    for column in table.schema.columns:
        if column.name not in present:
            cursor.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {}").format(sql.Identifier(SCHEMA, table.name), columns([column]))
            )
