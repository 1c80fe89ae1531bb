"""BigQuery as a warehouse: months of trips, each replaced whole, and small tables beside them."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

import dagster as dg
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY
from pydantic import Field

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.schemas import BIGQUERY_TYPES, Schema
from taxi_assets.contract.tables import TABLES, WHOLE_TABLE, Part, Table, trips_table
from taxi_assets.errors import AuditError, ServiceError, ServiceUnavailableError
from taxi_assets.months import month_text
from taxi_assets.resources.bigquery_checks import dataset_problem, table_problem
from taxi_assets.resources.google_errors import CONCURRENT, PATIENCE_SECONDS, client_arguments, google_errors
from taxi_assets.resources.lake import LakeFile

# The client itself sets no timeout; a service that accepts a connection and never responds would block a run forever.
CALL: dict[str, Any] = {"retry": DEFAULT_RETRY.with_timeout(PATIENCE_SECONDS), "timeout": 2 * PATIENCE_SECONDS}
JOB_RETRY = DEFAULT_JOB_RETRY.with_timeout(2 * PATIENCE_SECONDS)
JOB_SECONDS = 3600.0
TURN_SECONDS = 600.0
STAGING_LIFE = timedelta(days=1)
_STAGING = re.compile(r"__staging_\w+?_(\d{19})_[0-9a-f]{8}$", re.ASCII)


# Not a subclass of dagster-gcp's resource: importing that package takes a second at every run's start.
class BigQueryWarehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Tables of trips in one BigQuery dataset, partitioned by the month of the source file."""

    label: ClassVar[str] = "BigQuery"
    asset_name: ClassVar[str] = "bigquery_table"

    project: str | None = Field(description="Google Cloud project.")
    location: str | None = Field(default=None, description="Location of the dataset.")
    dataset: str = Field(description="Name of the BigQuery dataset that holds the tables.")
    emulator_host: str | None = Field(default=None, description="Address of a BigQuery emulator, if there is one.")

    @contextmanager
    def get_client(self) -> Iterator[bigquery.Client]:
        """Yield a client of BigQuery, or of the emulator."""
        with self._errors():
            client = bigquery.Client(
                project=self.project, location=self.location, **client_arguments(self.emulator_host)
            )
            try:
                yield client
            finally:
                client.close()

    def table(self, dataset: Dataset) -> str:
        """Return the full name of the dataset's table, project.dataset.table."""
        return self._full_name(trips_table(dataset.name))

    def _full_name(self, table: str) -> str:
        if not self.project:
            raise ServiceError("No Google Cloud project is set; set TAXI_GCP_PROJECT.")
        return f"{self.project}.{self.dataset}.{table}"

    def ensure_tables(self) -> list[str]:
        """Create the missing tables and add the missing columns; return the added columns."""
        with self.get_client() as client:
            self._create_dataset(client)
            return [
                name for table in TABLES.values() for name in self._create_or_extend(client, self._described(table))
            ]

    def replace_month(self, dataset: Dataset, month: date, kept: LakeFile, manifest: Manifest) -> Totals:
        """Load the month's object into a staging table, audit it, and publish it in one transaction.

        A failure at any point leaves the published month as it was. The staging table of a killed run is removed by
        the next run of the month that succeeds, or expires after a day.

        Raises:
            AuditError: The staging table differs from the manifest; nothing was published.
            ServiceError: BigQuery or the object is not as needed.
            ServiceUnavailableError: BigQuery does not respond.
        """
        published = self._described(TABLES[trips_table(dataset.name)])
        with self._staged(published, dataset.schema, kept.uri, f"{month:%Y%m}") as (client, staging):
            staged = self._totals(client, staging, dataset, month)
            differences = staged.differences(manifest.kept)
            if differences:
                raise AuditError(
                    f"BigQuery read {dataset.name} {month_text(month)} other than the lake holds it: "
                    f"{'; '.join(differences)}. Nothing was published; run it again."
                )
            kept.check_published()
            # Delete by the month of the file: a stray pickup time can neither survive nor be doubled.
            self._publish(client, self.table(dataset), staging, dataset.schema, f"source_month = DATE '{month}'")
            # BigQuery has no lock to hold since the check above. The retry loads what the lake has now.
            kept.check_published()
        return staged

    def drop_leftovers(self, dataset: Dataset, month: date) -> None:
        """Drop the staging tables that killed runs of the month left."""
        with self.get_client() as client:
            self._drop_leftovers(client, _staging_prefix(trips_table(dataset.name), f"{month:%Y%m}"), time.time_ns())

    def replace_table(self, name: str, file: LakeFile, rows: int) -> str:
        """Replace all rows of a small table and return its full name; raises as `replace_part`."""
        return self.replace_part(TABLES[name], WHOLE_TABLE, file, rows)

    def replace_part(self, table: Table, part: Part, file: LakeFile, rows: int) -> str:
        """Replace the part's rows of a table, which is made if it is missing, and return the table's full name.

        Raises:
            AuditError: Another number of rows arrived; nothing was published.
            SupersededError: The lake has a newer file by now.
        """
        name = self._full_name(table.name)
        with self._staged(self._described(table), table.schema, file.uri, part.name) as (client, staging):
            [[staged]] = self._query(client, f"SELECT COUNT(*) FROM `{staging}` WHERE {part.condition}")
            if staged != rows:
                raise AuditError(f"BigQuery read {staged} rows of {table.name} and not {rows}. Nothing was published.")
            file.check_published()
            self._publish(client, name, staging, table.schema, part.condition)
            file.check_published()
        return name

    def month_totals(self, dataset: Dataset, month: date) -> Totals:
        """Return the totals of a published month."""
        with self.get_client() as client:
            return self._totals(client, self.table(dataset), dataset, month)

    def month_rows(self, dataset: Dataset, first: date = date.min, last: date = date.max) -> dict[date, int]:
        """Return the rows of each month from `first` to `last`, oldest first; empty if there is no table.

        The query reads only `source_month`, and only of those months.
        """
        query = f"""
            SELECT source_month, COUNT(*) FROM `{self.table(dataset)}`
            WHERE source_month BETWEEN @first AND @last GROUP BY source_month ORDER BY source_month
        """
        bounds = [bigquery.ScalarQueryParameter(n, "DATE", day) for n, day in (("first", first), ("last", last))]
        with self.get_client() as client:
            try:
                client.get_table(self.table(dataset), **CALL)
            except exceptions.NotFound:
                return {}
            return {row[0]: row[1] for row in self._query(client, query, *bounds)}

    def find_problems(self) -> list[str]:
        """Return what in an existing dataset and its tables would keep months from staying, each in one sentence."""
        found: list[str | None] = []
        with self.get_client() as client:
            try:
                home = client.get_dataset(f"{self.project}.{self.dataset}", **CALL)
            except exceptions.NotFound:
                return []
            found.append(dataset_problem(home, self.location))
            for table in TABLES.values():
                with suppress(exceptions.NotFound):
                    there = client.get_table(self._full_name(table.name), **CALL)
                    found.append(table_problem(there, self._described(table)))
        return [problem for problem in found if problem]

    @contextmanager
    def _staged(
        self, published: bigquery.Table, schema: Schema, uri: str, part: str
    ) -> Iterator[tuple[bigquery.Client, str]]:
        """Load the object into a staging table beside the published table, which is created if missing."""
        prefix = _staging_prefix(published.table_id, part)
        started = time.time_ns()
        staging = self._full_name(f"{prefix}{started}_{uuid.uuid4().hex[:8]}")
        with self.get_client() as client:
            self._create_dataset(client)
            self._create_or_extend(client, published)
            table = bigquery.Table(staging, schema=fields(schema))
            table.expires = datetime.now(UTC) + STAGING_LIFE
            client.create_table(table, **CALL)
            try:
                load = client.load_table_from_uri(
                    uri,
                    staging,
                    job_config=bigquery.LoadJobConfig(
                        source_format=bigquery.SourceFormat.PARQUET,
                        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
                        schema=fields(schema),
                    ),
                    **CALL,
                )
                load.result(retry=CALL["retry"], timeout=JOB_SECONDS)
                yield client, staging
            except exceptions.NotFound as error:
                raise ServiceUnavailableError(
                    f"{staging} or {uri} went away before the rows were published, as when another run of the same "
                    "month ends meanwhile; run it again."
                ) from error
            finally:
                client.delete_table(staging, not_found_ok=True, **CALL)
            self._drop_leftovers(client, prefix, started)

    def _described(self, table: Table) -> bigquery.Table:
        """Return the table as BigQuery should have it."""
        wanted = bigquery.Table(self._full_name(table.name), schema=fields(table.schema))
        wanted.description = table.description
        if table.by_month:
            wanted.description += " Filter by source_month to read few bytes."
            month = bigquery.TimePartitioningType.MONTH
            wanted.time_partitioning = bigquery.TimePartitioning(type_=month, field="source_month")
            wanted.clustering_fields = ["pickup_location_id", "pickup_datetime"]
        elif table.clustered_by:
            wanted.clustering_fields = list(table.clustered_by)
        return wanted

    def _create_dataset(self, client: bigquery.Client) -> None:
        """Create the dataset if it is missing, and check that months stay in it."""
        home = bigquery.Dataset(f"{self.project}.{self.dataset}")
        home.location = self.location
        try:
            found = client.get_dataset(home.reference, **CALL)
        except exceptions.NotFound:
            # Only then: an account may be allowed to write to the dataset but not to create one.
            found = client.create_dataset(home, exists_ok=True, **CALL)
        if problem := dataset_problem(found, self.location):
            raise ServiceError(problem)

    def _create_or_extend(self, client: bigquery.Client, wanted: bigquery.Table) -> list[str]:
        """Create the table, or add its missing columns and return them."""
        table = client.create_table(wanted, exists_ok=True, **CALL)
        if problem := table_problem(table, wanted):
            raise ServiceError(problem)
        names = {field.name for field in table.schema}
        missing = [field for field in wanted.schema if field.name not in names]
        for field in missing:
            new = f"ADD COLUMN IF NOT EXISTS `{field.name}` {field.field_type}"
            self._query(client, f"ALTER TABLE `{wanted.project}.{wanted.dataset_id}.{wanted.table_id}` {new}")
        return [f"{wanted.table_id}.{field.name}" for field in missing]

    def _publish(self, client: bigquery.Client, table: str, staging: str, schema: Schema, replaced: str) -> None:
        """Replace the rows that `replaced` selects by those of the staging table, in one transaction."""
        columns = ", ".join(f"`{name}`" for name in schema.names)
        script = f"""
            BEGIN TRANSACTION;
            DELETE FROM `{table}` WHERE {replaced};
            INSERT INTO `{table}` ({columns}) SELECT {columns} FROM `{staging}`;
            COMMIT TRANSACTION;
        """
        # BigQuery allows one transaction at a time to change a table, even if months do not overlap: retry.
        turn = Retry(predicate=lambda error: CONCURRENT in str(error), initial=1, maximum=20, timeout=TURN_SECONDS)
        turn(self._query)(client, script)

    def _totals(self, client: bigquery.Client, table: str, dataset: Dataset, month: date) -> Totals:
        money = dataset.schema.money
        sums = "".join(f", SUM(FLOOR(`{name}` * 100.0 + 0.5))" for name in money)
        texts = dataset.schema.texts
        sums += "".join(f", SUM(CHAR_LENGTH(`{name}`))" for name in texts)
        row = next(
            iter(
                self._query(
                    client,
                    f"SELECT COUNT(*), MIN(pickup_datetime), MAX(pickup_datetime){sums} FROM `{table}` "
                    "WHERE source_month = @month",
                    bigquery.ScalarQueryParameter("month", "DATE", month),
                )
            )
        )
        numbers = [int(value or 0) for value in row[3:]]
        cents = dict(zip(money, numbers, strict=False))
        return Totals(row[0], cents, row[1], row[2], dict(zip(texts, numbers[len(money) :], strict=True)))

    def _query(self, client: bigquery.Client, text: str, *parameters: bigquery.ScalarQueryParameter) -> Any:
        job = client.query(
            text,
            job_config=bigquery.QueryJobConfig(query_parameters=list(parameters)),
            # Any other value adds a loop of ten minutes around `retry`; a failed job is retried below.
            job_retry=None,
            **CALL,
        )
        return job.result(retry=CALL["retry"], job_retry=JOB_RETRY, timeout=JOB_SECONDS)

    def _drop_leftovers(self, client: bigquery.Client, prefix: str, started: int) -> None:
        """Drop staging tables of earlier runs of this month; a run that is still active loads again in its retry."""
        for item in client.list_tables(f"{self.project}.{self.dataset}", **CALL):
            if item.table_id.startswith(prefix) and int(item.table_id[len(prefix) :].split("_")[0]) < started:
                client.delete_table(item.reference, not_found_ok=True, **CALL)

    def staging_tables(self) -> dict[str, datetime]:
        """Return the full names of all staging tables, with their creation times."""
        with self.get_client() as client:
            try:
                found = [item.table_id for item in client.list_tables(f"{self.project}.{self.dataset}", **CALL)]
            except exceptions.NotFound:
                return {}
        made = {name: _STAGING.search(name) for name in found}
        return {self._full_name(n): datetime.fromtimestamp(int(m[1]) / 1e9, UTC) for n, m in made.items() if m}

    def drop_staging_table(self, name: str) -> None:
        """Drop one of `staging_tables`."""
        with self.get_client() as client:
            client.delete_table(name, not_found_ok=True, **CALL)

    def _errors(self) -> AbstractContextManager[None]:
        what = f"the BigQuery dataset {self.project}.{self.dataset}"
        return google_errors(
            what, self.emulator_host, f"{what}, or an object to load, does not exist; materialize gcs_object first."
        )


def _staging_prefix(table: str, part: str) -> str:
    return f"{table}__staging_{part}_"


def fields(schema: Schema) -> list[bigquery.SchemaField]:
    """Return the schema as BigQuery fields, in the file's order."""
    return [
        bigquery.SchemaField(
            c.name,
            BIGQUERY_TYPES[c.type],
            mode="REQUIRED" if c.name == schema.partition else "NULLABLE",
            description=c.description,
        )
        for c in schema.columns
    ]
