"""PostgreSQL's tables, brought to what this version needs: at every start, by `taxi migrate`, and before a load.

Each step is one transaction, recorded in `taxi.migrations`, under a lock: however often and by however many at once
it is asked for, a step is applied once.

To change a table, append a step. A new database takes all of them, and its first makes the tables as the contract
is by then, so a step looks before it changes: IF NOT EXISTS, IF EXISTS. A column that the contract has won needs
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
# Publishing and migrating wait this long for those who read the table; they hold it for milliseconds.
LOCK_TIMEOUT = "60s"
_RECORD = sql.Identifier(SCHEMA, "migrations")


@dataclass(frozen=True)
class Migration:
    """A step; numbers count from 1 without gaps."""

    number: int
    name: str
    apply: Callable[[psycopg.Cursor], None]


def follow_contract(cursor: psycopg.Cursor) -> None:
    """Make the tables that are not there, add the columns that are not, and describe all of them."""
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
    """Apply the steps that the database lacks, and return those; the connection commits each by itself from here on.

    Raises:
        ServiceError: the database has steps that this version does not know.
        psycopg.errors.LockNotAvailable: somebody used a table for longer than `LOCK_TIMEOUT`.
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
    """The columns as CREATE TABLE and ADD COLUMN write them."""
    return sql.SQL(", ").join(
        sql.SQL("{} {}{}").format(
            sql.Identifier(c.name),
            sql.SQL(POSTGRES_TYPES[c.type]),
            sql.SQL(" NOT NULL" if c.name == "source_month" else ""),
        )
        for c in of
    )


def _newest(connection: psycopg.Connection, migrations: Sequence[Migration]) -> int:
    """Number of the newest step that the database has; 0 for one that has none."""
    # Not to_regclass, which may answer from before the lock was taken.
    query = "SELECT FROM pg_tables WHERE schemaname = %s AND tablename = 'migrations'"
    if not connection.execute(query, [SCHEMA]).fetchall():
        return 0
    [(newest,)] = connection.execute(sql.SQL("SELECT coalesce(max(number), 0) FROM {}").format(_RECORD))
    if newest > len(migrations):
        raise ServiceError(
            f"The database has step {newest} of its tables, and this version knows {len(migrations)}: a newer version "
            "of Taxi Assets was here. Upgrade this one, or restore a backup from before."
        )
    return int(newest)


def _prepare(cursor: psycopg.Cursor) -> None:
    # Asked for, since IF NOT EXISTS needs the right to make schemas even where there is one.
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
