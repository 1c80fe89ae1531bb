"""BigQuery as a sink: months of trips, each replaced whole, and small tables beside them."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dagster import ConfigurableResource
from google.api_core import exceptions
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY
from pydantic import Field

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.schemas import BIGQUERY_TYPES, Schema
from taxi_assets.contract.tables import TABLES, Table, trips_table
from taxi_assets.errors import AuditError, ServiceError, ServiceUnavailableError
from taxi_assets.months import month_text
from taxi_assets.resources.google_errors import CONCURRENT, PATIENCE_SECONDS, client_arguments, google_errors

# The client itself sets no timeout, so that a service that accepts and is silent would hold a run for ever.
CALL: dict[str, Any] = {"retry": DEFAULT_RETRY.with_timeout(PATIENCE_SECONDS), "timeout": 2 * PATIENCE_SECONDS}
JOB_RETRY = DEFAULT_JOB_RETRY.with_timeout(2 * PATIENCE_SECONDS)
JOB_SECONDS = 3600.0
TURN_SECONDS = 600.0
STAGING_LIFE = timedelta(days=1)
_STAGING = re.compile(r"__staging_\w+?_(\d{19})_[0-9a-f]{8}$", re.ASCII)


# Not of dagster-gcp's resource, whose package imports much that is not needed: a second of every run's start.
class BigQueryWarehouse(ConfigurableResource):  # type: ignore[type-arg]
    """Tables of trips in one BigQuery dataset, partitioned by the month of the source file."""

    project: str | None = Field(description="Google Cloud project.")
    location: str | None = Field(default=None, description="Location of the dataset.")
    dataset: str = Field(description="Name of the BigQuery dataset that holds the tables.")
    emulator_host: str | None = Field(default=None, description="Address of a BigQuery emulator, if there is one.")

    @contextmanager
    def get_client(self) -> Iterator[bigquery.Client]:
        """A client of BigQuery, or of the emulator."""
        with self._errors():
            client = bigquery.Client(
                project=self.project, location=self.location, **client_arguments(self.emulator_host)
            )
            try:
                yield client
            finally:
                client.close()

    def table(self, dataset: Dataset) -> str:
        """Full name of the dataset's table, project.dataset.table."""
        return self._full_name(trips_table(dataset.name))

    def _full_name(self, table: str) -> str:
        if not self.project:
            raise ServiceError("No Google Cloud project is set; set TAXI_GCP_PROJECT.")
        return f"{self.project}.{self.dataset}.{table}"

    def migrate(self) -> None:
        """Make the tables that are not there, and add the columns that the contract has won since they were made."""
        with self.get_client() as client:
            self._create_dataset(client)
            for table in TABLES.values():
                self._create_or_extend(client, self._described(table))

    def replace_month(self, dataset: Dataset, month: date, uri: str, manifest: Manifest) -> Totals:
        """Load the month's object into a staging table, audit it, and publish it in one transaction.

        A rerun replaces the month. A failure at any point leaves the month that was there before;
        what is left of a killed run goes with the next that succeeds, or after a day.

        Raises:
            AuditError: the staging table differs from the manifest; nothing was published.
            ServiceError, ServiceUnavailableError: BigQuery is not as needed, or does not answer.
        """
        published = self._described(TABLES[trips_table(dataset.name)])
        with self._staged(published, dataset.schema, uri, f"{month:%Y%m}") as (client, staging):
            staged = self._totals(client, staging, dataset, month)
            differences = staged.differences(manifest.kept)
            if differences:
                raise AuditError(
                    f"BigQuery read {dataset.name} {month_text(month)} other than the lake holds it: "
                    f"{'; '.join(differences)}. Nothing was published; run it again."
                )
            # By the month of the file: a stray pickup time can neither survive the delete nor be doubled.
            self._publish(client, self.table(dataset), staging, dataset.schema, f"source_month = DATE '{month}'")
        return staged

    def replace_table(self, name: str, uri: str, rows: int) -> str:
        """Replace a small table whole; returns its full name.

        Raises:
            AuditError: another number of rows arrived; nothing was published.
        """
        schema = TABLES[name].schema
        with self._staged(self._described(TABLES[name]), schema, uri, "all") as (client, staging):
            [[staged]] = self._query(client, f"SELECT COUNT(*) FROM `{staging}`")
            if staged != rows:
                raise AuditError(f"BigQuery read {staged} rows of {name} and not {rows}. Nothing was published.")
            self._publish(client, self._full_name(name), staging, schema, "TRUE")
        return self._full_name(name)

    def month_totals(self, dataset: Dataset, month: date) -> Totals:
        """What the published table holds of a month."""
        with self.get_client() as client:
            return self._totals(client, self.table(dataset), dataset, month)

    def month_rows(self, dataset: Dataset, first: date = date.min, last: date = date.max) -> dict[date, int]:
        """Rows by `source_month` from `first` to `last`, oldest first; empty if the table is not there.

        They are counted by reading that column alone, of those months alone.
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

    @contextmanager
    def _staged(
        self, published: bigquery.Table, schema: Schema, uri: str, part: str
    ) -> Iterator[tuple[bigquery.Client, str]]:
        """The object loaded into a staging table, beside the table to publish in, which is made if need be."""
        prefix = f"{published.table_id}__staging_{part}_"
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
        """The table as BigQuery is to have it."""
        wanted = bigquery.Table(self._full_name(table.name), schema=fields(table.schema))
        wanted.description = table.description
        if table.by_month:
            wanted.description += " Filter by source_month to read few bytes."
            month = bigquery.TimePartitioningType.MONTH
            wanted.time_partitioning = bigquery.TimePartitioning(type_=month, field="source_month")
            wanted.clustering_fields = ["pickup_location_id", "pickup_datetime"]
        return wanted

    def _create_dataset(self, client: bigquery.Client) -> None:
        """Make the dataset if it is not there, and make sure of its location."""
        home = bigquery.Dataset(f"{self.project}.{self.dataset}")
        home.location = self.location
        try:
            found = client.get_dataset(home.reference, **CALL)
        except exceptions.NotFound:
            # Only then: an account that may write to the dataset need not be allowed to make one.
            found = client.create_dataset(home, exists_ok=True, **CALL)
        if self.location and found.location.upper() != self.location.upper():
            raise ServiceError(
                f"The BigQuery dataset {self.project}.{self.dataset} is in {found.location} and not in "
                f"{self.location}; set TAXI_BIGQUERY_LOCATION to {found.location}."
            )

    def _create_or_extend(self, client: bigquery.Client, wanted: bigquery.Table) -> None:
        """Make the table, or add the columns that the contract has won since it was made."""
        table = client.create_table(wanted, exists_ok=True, **CALL)
        names = {field.name for field in table.schema}
        for field in wanted.schema:
            if field.name not in names:
                new = f"ADD COLUMN IF NOT EXISTS `{field.name}` {field.field_type}"
                self._query(client, f"ALTER TABLE `{wanted.project}.{wanted.dataset_id}.{wanted.table_id}` {new}")

    def _publish(self, client: bigquery.Client, table: str, staging: str, schema: Schema, replaced: str) -> None:
        """Swap what `replaced` selects for the staging table's rows; readers see all of it or nothing."""
        columns = ", ".join(f"`{name}`" for name in schema.names)
        script = f"""
            BEGIN TRANSACTION;
            DELETE FROM `{table}` WHERE {replaced};
            INSERT INTO `{table}` ({columns}) SELECT {columns} FROM `{staging}`;
            COMMIT TRANSACTION;
        """
        # BigQuery lets one transaction at a time change a table, though months do not overlap: wait for the turn.
        turn = Retry(predicate=lambda error: CONCURRENT in str(error), initial=1, maximum=20, timeout=TURN_SECONDS)
        turn(self._query)(client, script)

    def _totals(self, client: bigquery.Client, table: str, dataset: Dataset, month: date) -> Totals:
        money = dataset.schema.money
        sums = "".join(f", SUM(FLOOR(`{name}` * 100.0 + 0.5))" for name in money)
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
        cents = {name: int(row[3 + i] or 0) for i, name in enumerate(money)}
        return Totals(row[0], cents, row[1], row[2])

    def _query(self, client: bigquery.Client, text: str, *parameters: bigquery.ScalarQueryParameter) -> Any:
        job = client.query(
            text,
            job_config=bigquery.QueryJobConfig(query_parameters=list(parameters)),
            # Any other value adds a loop of ten minutes around `retry`; a job that fails is repeated below.
            job_retry=None,
            **CALL,
        )
        return job.result(retry=CALL["retry"], job_retry=JOB_RETRY, timeout=JOB_SECONDS)

    def _drop_leftovers(self, client: bigquery.Client, prefix: str, started: int) -> None:
        """Drop staging tables of this month's earlier runs; a run that still lives loads anew when retried."""
        for item in client.list_tables(f"{self.project}.{self.dataset}", **CALL):
            if item.table_id.startswith(prefix) and int(item.table_id[len(prefix) :].split("_")[0]) < started:
                client.delete_table(item.reference, not_found_ok=True, **CALL)

    def staging_tables(self) -> dict[str, datetime]:
        """Full names of the staging tables that there are, with the times at which their runs made them."""
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


def fields(schema: Schema) -> list[bigquery.SchemaField]:
    """The schema as BigQuery's, in the file's order."""
    return [
        bigquery.SchemaField(
            c.name,
            BIGQUERY_TYPES[c.type],
            mode="REQUIRED" if c.name == "source_month" else "NULLABLE",
            description=c.description,
        )
        for c in schema.columns
    ]
