"""PostgreSQL as a warehouse: each month of trips is a partition that is replaced whole; small tables beside them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import ClassVar

import dagster as dg
import pgpq
import psycopg
import pyarrow.parquet as pq
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pydantic import Field

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.tables import trips_table
from taxi_assets.errors import AuditError, ServiceError, ServiceUnavailableError
from taxi_assets.months import month_text, next_month
from taxi_assets.resources.lake import LakeFile
from taxi_assets.resources.postgres_tables import LOCK_TIMEOUT, SCHEMA, columns, migrate

COPY_ROWS = 1 << 15


class PostgresWarehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tables of trips in the schema `taxi` of one database, partitioned by the month of the source file."""

    label: ClassVar[str] = "PostgreSQL"
    asset_name: ClassVar[str] = "postgres_table"

    url: str | None = Field(description="postgresql://user:password@host:port/database, from TAXI_POSTGRES_URL.")

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """Yield a connection; leaving the block commits, an exception rolls back.

        Raises:
            ServiceError: The URL is wrong, the database does not exist, or access is denied.
            ServiceUnavailableError: The server does not respond, or a table is in use.
        """
        url, name = self._address()
        try:
            with psycopg.connect(url, connect_timeout=10, application_name="taxi_assets") as connection:
                yield connection
        except psycopg.errors.LockNotAvailable as error:
            raise ServiceUnavailableError(
                f"A table in {name} was in use for longer than {LOCK_TIMEOUT}; end the query that reads it, or retry."
            ) from error
        except psycopg.errors.DiskFull as error:
            raise ServiceError(f"The disk of {name} is full ({_first_line(error)}); free some space there.") from error
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidCatalogName) as error:
            raise ServiceError(f"PostgreSQL refuses {name}: {_first_line(error)}.") from error
        except psycopg.OperationalError as error:
            text = _first_line(error)
            if "does not exist" in text or "authentication failed" in text:
                raise ServiceError(f"PostgreSQL refuses {name}: {text}; check TAXI_POSTGRES_URL.") from error
            raise ServiceUnavailableError(
                f"PostgreSQL does not answer at {name}: {text}; for the local one, is `taxi up` running?"
            ) from error

    def _address(self) -> tuple[str, str]:
        """Return the URL, and the database's name and host in words without secrets."""
        if not self.url:
            raise ServiceError("TAXI_POSTGRES_URL is not set; set it to postgresql://user:password@host:port/database.")
        before_host = self.url.partition("://")[2].rpartition("@")[0]
        if "@" in before_host or "/" in before_host:
            # libpq would take a part of the password for the host, and name it in its errors.
            raise ServiceError(
                "TAXI_POSTGRES_URL has a bare '@' or '/' in its user or password; write them as %40 and %2F."
            )
        try:
            where = conninfo_to_dict(self.url)
        except psycopg.ProgrammingError:
            # Its message may quote the URL, password and all.
            raise ServiceError(
                "TAXI_POSTGRES_URL is no PostgreSQL address; write it as postgresql://user:password@host:port/database."
            ) from None
        return self.url, f"the database {where.get('dbname', '')} at {where.get('host', 'localhost')}"

    def ensure_tables(self) -> list[str]:
        """Apply the missing migrations and return them, each as `number (name)`.

        Raises:
            ServiceError: As `connect`, or the database has migrations of a newer version.
            ServiceUnavailableError: As `connect`.
        """
        with self.connect() as connection:
            return [f"{step.number} ({step.name})" for step in migrate(connection)]

    def replace_month(self, dataset: Dataset, month: date, kept: LakeFile, manifest: Manifest) -> Totals:
        """COPY the month into a staging table, audit it, and swap it for the published month.

        All of it is one transaction: a failure or a kill at any point leaves the published month as it was. Two loads
        of the same month wait for each other.

        Raises:
            AuditError: The staging table differs from the manifest; nothing was published.
            SupersededError: The lake has a newer month by now; nothing was published.
        """
        partition = f"{dataset.name}_trips_{month:%Y_%m}"
        staging = sql.Identifier(SCHEMA, f"{partition}_staging")
        with kept.local() as path:
            self.ensure_tables()
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{SCHEMA}.{partition}"])
                _create_staging(cursor, staging, dataset, month)
                _copy(cursor, staging, path, freeze=True)
                staged = _totals(cursor, staging, dataset, month)
                if differences := staged.differences(manifest.kept):
                    raise AuditError(
                        f"PostgreSQL received {dataset.name} {month_text(month)} other than the lake holds it: "
                        f"{'; '.join(differences)}. Nothing was published; run it again."
                    )
                kept.check_published()
                cursor.execute(sql.SQL("ANALYZE {}").format(staging))
                cursor.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(staging, manifest.to_json()))
                _swap(cursor, sql.Identifier(SCHEMA, trips_table(dataset.name)), staging, partition, month)
        return staged

    def replace_table(self, name: str, file: LakeFile, rows: int) -> str:
        """Replace a small table's rows in one transaction and return its name with its schema.

        Raises:
            AuditError: Another number of rows arrived; nothing was published.
        """
        table = sql.Identifier(SCHEMA, name)
        with file.local() as path:
            self.ensure_tables()
            with self.connect() as connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL("DELETE FROM {}").format(table))
                _copy(cursor, table, path)
                cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
                if cursor.fetchone() != (rows,):
                    raise AuditError(f"PostgreSQL did not receive the {rows} rows of {name}. Nothing was published.")
        return f"{SCHEMA}.{name}"

    def table(self, dataset: Dataset) -> str:
        """Return the name of the dataset's table with its schema."""
        return f"{SCHEMA}.{trips_table(dataset.name)}"

    def month_totals(self, dataset: Dataset, month: date) -> Totals:
        """Return the totals of a published month."""
        with self.connect() as connection, connection.cursor() as cursor:
            return _totals(cursor, sql.Identifier(SCHEMA, trips_table(dataset.name)), dataset, month)

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

    def staging_tables(self) -> dict[str, None]:
        """Return the staging tables that were left; a run never commits its own, and their age is unknown."""
        query = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename ~ '_trips_[0-9_]+_staging$'"
        with self.connect() as connection:
            return dict.fromkeys(sorted(name for (name,) in connection.execute(query, [SCHEMA])))

    def drop_staging_table(self, name: str) -> None:
        """Drop one of `staging_tables`."""
        with self.connect() as connection:
            connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, name)))


def _partitions(connection: psycopg.Connection, dataset: Dataset) -> list[tuple[date, str, str | None]]:
    """Return month, name and comment of each partition of the table, oldest first."""
    query = """
        SELECT to_date(right(relname, 7), 'YYYY_MM'), relname, obj_description(oid, 'pg_class')
        FROM pg_class JOIN pg_inherits ON inhrelid = oid
        WHERE inhparent = to_regclass(%s) AND relname ~ '_20[0-9]{2}_(0[1-9]|1[0-2])$' ORDER BY 1
    """
    return connection.execute(query, [f"{SCHEMA}.{trips_table(dataset.name)}"]).fetchall()


def _create_staging(cursor: psycopg.Cursor, staging: sql.Identifier, dataset: Dataset, month: date) -> None:
    # Not LIKE the parent: that would lock it until the end, against every other month.
    cursor.execute(
        sql.SQL("CREATE TABLE {} ({}, CHECK (source_month >= {} AND source_month < {}))").format(
            staging, columns(dataset.schema.columns), month, next_month(month)
        )
    )


def _copy(cursor: psycopg.Cursor, table: sql.Identifier, path: Path, *, freeze: bool = False) -> None:
    """Stream a Parquet file into a table; FREEZE is for a table made in this transaction."""
    file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    encoder = pgpq.ArrowToPostgresBinaryEncoder(file.schema_arrow.remove_metadata())
    columns = sql.SQL(", ").join(map(sql.Identifier, file.schema_arrow.names))
    options = sql.SQL("FORMAT binary, FREEZE" if freeze else "FORMAT binary")
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN ({})").format(table, columns, options)) as copy:
        copy.write(encoder.write_header())
        for batch in file.iter_batches(COPY_ROWS):
            copy.write(encoder.write_batch(batch))
        copy.write(encoder.finish())


def _totals(cursor: psycopg.Cursor, table: sql.Identifier, dataset: Dataset, month: date) -> Totals:
    money = dataset.schema.money
    sums = [sql.SQL(", sum(floor({} * 100.0 + 0.5))").format(sql.Identifier(name)) for name in money]
    cursor.execute(
        sql.SQL("SELECT count(*), min(pickup_datetime), max(pickup_datetime){} FROM {} WHERE source_month = %s").format(
            sql.Composed(sums), table
        ),
        [month],
    )
    row = cursor.fetchone()
    assert row is not None
    return Totals(row[0], {name: int(row[3 + i] or 0) for i, name in enumerate(money)}, row[1], row[2])


def _swap(cursor: psycopg.Cursor, parent: sql.Identifier, staging: sql.Identifier, partition: str, month: date) -> None:
    """Put the staging table in the partition's place."""
    old = sql.Identifier(SCHEMA, partition)
    cursor.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_TIMEOUT))
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.{partition}"])
    if cursor.fetchone() == (True,):
        cursor.execute(sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(parent, old))
        cursor.execute(sql.SQL("DROP TABLE {}").format(old))
    cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(staging, sql.Identifier(partition)))
    # The table's CHECK equals the bounds, so that attaching reads no rows.
    cursor.execute(
        sql.SQL("ALTER TABLE {} ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            parent, old, month, next_month(month)
        )
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
