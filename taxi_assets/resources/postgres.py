"""PostgreSQL as a warehouse: each month of trips is a partition that is replaced whole; small tables beside them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from typing import ClassVar

import dagster as dg
import psycopg
from psycopg import sql
from pydantic import Field

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.tables import TABLES, WHOLE_TABLE, Part, Table, trips_table
from taxi_assets.errors import AuditError
from taxi_assets.months import month_text
from taxi_assets.resources.lake import LakeFile
from taxi_assets.resources.postgres_partition import Partition, copy, create_staging, month_totals, publish
from taxi_assets.resources.postgres_session import checked_url, connection_to, lock_tables
from taxi_assets.resources.postgres_tables import SCHEMA, check_tables, make_table, migrate, restore_tables


class PostgresWarehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tables of trips in the schema `taxi` of one database, partitioned by the month of the source file."""

    label: ClassVar[str] = "PostgreSQL"
    asset_name: ClassVar[str] = "postgres_table"

    url: str | None = Field(description="postgresql://user:password@host:port/database, from TAXI_POSTGRES_URL.")

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """Yield a connection; leaving the block commits, an exception rolls back. It raises as `connection_to`."""
        with connection_to(checked_url(self.url)) as connection:
            yield connection

    def ensure_tables(self) -> list[str]:
        """Apply the missing migrations, make anew what was dropped, and return both in words.

        Raises:
            ServiceError: As `connect`; the database has migrations of a newer version, an encoding that cannot hold
                every text, or somebody else's table of one of the names.
            ServiceUnavailableError: As `connect`, or a table is in use.
        """
        with self.connect() as connection:
            connection.autocommit = True
            check_tables(connection)
            applied = [f"{step.number} ({step.name})" for step in migrate(connection)]
            return applied + restore_tables(connection)

    def replace_month(self, dataset: Dataset, month: date, kept: LakeFile, manifest: Manifest) -> Totals:
        """COPY the month into a staging table, audit it, and put it in place of the published month.

        All of it is one transaction: a failure or a kill at any point leaves the published month as it was. Two loads
        of the same month wait for each other, and one whose file the lake has replaced meanwhile ends there.

        Raises:
            AuditError: The staging table differs from the manifest; nothing was published.
            SupersededError: The lake has a newer month by now; nothing was published.
        """
        partition = Partition(dataset, month)
        with kept.local() as path:
            self.ensure_tables()
            with self.connect() as connection, connection.cursor() as cursor:
                lock = f"{SCHEMA}.{partition.name}"
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
                kept.check_published()
                create_staging(cursor, partition, manifest)
                copy(cursor, partition.staging, path, freeze=True)
                staged = month_totals(cursor, partition.staging, dataset, month)
                if differences := staged.differences(manifest.kept):
                    raise AuditError(
                        f"PostgreSQL received {dataset.name} {month_text(month)} other than the lake holds it: "
                        f"{'; '.join(differences)}. Nothing was published; run it again."
                    )
                cursor.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(SCHEMA, partition.staging)))
                # Not later: readers would wait for the bucket behind the locks of publishing.
                kept.check_published()
                publish(cursor, partition, manifest)
        return staged

    def replace_table(self, name: str, file: LakeFile, rows: int) -> str:
        """Replace a small table's rows and return its name with its schema; raises as `replace_part`."""
        return self.replace_part(TABLES[name], WHOLE_TABLE, file, rows)

    def replace_part(self, table: Table, part: Part, file: LakeFile, rows: int) -> str:
        """Replace the part's rows of a table, which is made if it is missing, in one transaction; return its name.

        Raises:
            AuditError: Another number of rows arrived; nothing was published.
            SupersededError: The lake has a newer file by now.
        """
        name, condition = sql.Identifier(SCHEMA, table.name), sql.SQL(part.condition)
        with file.local() as path:
            self.ensure_tables()
            with self.connect() as connection, connection.cursor() as cursor:
                if table.name not in TABLES:
                    make_table(cursor, table)
                lock_tables(cursor, [f"{SCHEMA}.{table.name}"], "SHARE ROW EXCLUSIVE")
                file.check_published()
                cursor.execute(sql.SQL("DELETE FROM {} WHERE {}").format(name, condition))
                copy(cursor, table.name, path)
                cursor.execute(sql.SQL("SELECT count(*) FROM {} WHERE {}").format(name, condition))
                if cursor.fetchone() != (rows,):
                    raise AuditError(
                        f"PostgreSQL did not receive the {rows} rows of {table.name}. Nothing was published."
                    )
        return f"{SCHEMA}.{table.name}"

    def table(self, dataset: Dataset) -> str:
        """Return the name of the dataset's table with its schema."""
        return f"{SCHEMA}.{trips_table(dataset.name)}"

    def month_totals(self, dataset: Dataset, month: date) -> Totals:
        """Return the totals of a published month."""
        with self.connect() as connection, connection.cursor() as cursor:
            return month_totals(cursor, trips_table(dataset.name), dataset, month)

    def month_rows(self, dataset: Dataset, first: date = date.min, last: date = date.max) -> dict[date, int]:
        """Return the rows of each month from `first` to `last`, oldest first; empty if there is no table.

        Partitions are counted one by one: a single query would block publishing until it has read the whole table.
        """
        found = {}
        with self.connect() as connection:
            connection.autocommit = True
            for month, partition, _ in _partitions(connection, dataset):
                if not first <= month <= last:
                    continue
                with suppress(psycopg.errors.UndefinedTable):  # dropped meanwhile
                    query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(SCHEMA, partition))
                    [(rows,)] = connection.execute(query)
                    if rows:
                        found[month] = rows
        return found

    def loaded_manifests(self, dataset: Dataset) -> dict[date, Manifest]:
        """Return the manifest that each month was loaded by, oldest first, from the comments of the partitions.

        A month whose comment was changed by hand is left out.
        """
        found = {}
        with self.connect() as connection:
            for month, _, comment in _partitions(connection, dataset):
                with suppress(ValueError, KeyError, TypeError):
                    found[month] = Manifest.from_json(comment or "")
        return found

    def drop_leftovers(self, dataset: Dataset, month: date) -> None:
        """Do nothing: a killed load's transaction leaves nothing."""

    def staging_tables(self) -> dict[str, None]:
        """Return the staging tables that were left; a run never commits its own, and their age is unknown."""
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ '_trips_[0-9_]+_staging$'"
        with self.connect() as connection:
            return dict.fromkeys(sorted(name for (name,) in connection.execute(query, [SCHEMA])))

    def drop_staging_table(self, name: str) -> None:
        """Drop one of `staging_tables`."""
        with self.connect() as connection:
            lock_tables(connection.cursor(), [f"{SCHEMA}.{name}"])
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, name)))


def _partitions(connection: psycopg.Connection, dataset: Dataset) -> list[tuple[date, str, str | None]]:
    """Return month, name and comment of each partition of the table, oldest first."""
    query = """
        SELECT to_date(right(relname, 7), 'YYYY_MM'), relname, obj_description(oid, 'pg_class')
        FROM pg_class JOIN pg_inherits ON inhrelid = oid
        WHERE inhparent = to_regclass(%s) AND relname ~ '_20[0-9]{2}_(0[1-9]|1[0-2])$' ORDER BY 1
    """
    return connection.execute(query, [f"{SCHEMA}.{trips_table(dataset.name)}"]).fetchall()
