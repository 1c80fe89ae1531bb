"""Checks of Google Cloud, or of its emulators: credentials, the bucket, BigQuery."""

import io
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import bigquery

from taxi_assets.doctor.check import Check, Result, ok
from taxi_assets.errors import ServiceError, TaxiError
from taxi_assets.resources.bigquery import CALL, BigQueryWarehouse
from taxi_assets.resources.bucket_checks import find_bucket_problems, probe_bucket
from taxi_assets.resources.lake import LakeResource
from taxi_assets.settings import Settings


def checks(settings: Settings, resources: dict[str, Any]) -> list[Check]:
    """Return the checks of what Google has."""
    return [
        Check("credentials", lambda: credentials(settings)),
        Check("bucket", lambda: bucket(resources["lake"], settings)),
        Check("BigQuery", lambda: warehouse(resources["bigquery"])),
    ]


def credentials(settings: Settings) -> list[Result]:
    """Find Google's credentials, which the emulators do not need."""
    if settings.storage_emulator_host and settings.bigquery_emulator_host:
        return ok("The emulators need none.")
    try:
        found, project = google.auth.default()
    except DefaultCredentialsError as error:
        raise ServiceError(
            "There are no Google credentials; run `gcloud auth application-default login`, or set "
            "GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key file."
        ) from error
    who = getattr(found, "service_account_email", None) or "a user's account"
    return ok(f"{who}{f' of project {project}' if project else ''}.")


def bucket(lake: LakeResource, settings: Settings) -> list[Result]:
    """Do to a probe object what a load does, then judge the bucket's own settings."""
    probe_bucket(lake)
    results = ok(f"gs://{lake.bucket}: a probe object was listed, created, overwritten and deleted.")
    # The emulator has no such settings.
    return results if lake.emulator_host else results + _bucket_settings(lake, settings)


def _bucket_settings(lake: LakeResource, settings: Settings) -> list[Result]:
    try:
        results = [Result("failed", problem) for problem in find_bucket_problems(lake)]
        with lake.get_bucket() as found:
            found.reload(timeout=10)
            location = str(found.location)
    except TaxiError as error:
        # Loads need no right to read the bucket's settings.
        return [Result("warning", f"Location, retention and requester-pays could not be read: {error}")]
    if location.upper() != settings.bigquery_location.upper():
        text = f"The bucket is in {location} and BigQuery in {settings.bigquery_location}; a load needs both in one "
        results.append(Result("warning", text + "location, or in a multi-region that holds the other."))
    return results or ok(f"Location {location}, no retention policy, requester-pays as set.")


def warehouse(bq: BigQueryWarehouse) -> list[Result]:
    """Judge the dataset and its tables; create, load, change and delete a probe table."""
    problems = [Result("failed", problem) for problem in bq.find_problems()]
    with bq.get_client() as client:
        try:
            home = client.get_dataset(f"{bq.project}.{bq.dataset}", **CALL)
        except exceptions.NotFound:
            return [
                Result("warning", f"The dataset {bq.project}.{bq.dataset} does not exist yet; `taxi migrate` makes it.")
            ]
        _probe_table(client, f"{bq.project}.{bq.dataset}.doctor_{uuid.uuid4().hex}")
    text = f"{bq.project}.{bq.dataset} in {home.location}: a probe table was created, loaded, changed in a transaction "
    return problems or ok(text + ("and deleted." if bq.emulator_host else "and deleted, so billing is enabled."))


def _probe_table(client: bigquery.Client, name: str) -> None:
    schema = [bigquery.SchemaField("n", "INT64")]
    table = bigquery.Table(name, schema=schema)
    # Gone by itself if this process is killed.
    table.expires = datetime.now(UTC) + timedelta(hours=1)
    client.create_table(table, **CALL)
    try:
        options = bigquery.LoadJobConfig(schema=schema, source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON)
        client.load_table_from_file(io.BytesIO(b'{"n": 1}\n'), name, job_config=options).result(timeout=15)
        script = f"BEGIN TRANSACTION; DELETE FROM `{name}` WHERE n = 1; INSERT `{name}` (n) VALUES (2); "
        client.query(script + "COMMIT TRANSACTION;").result(timeout=15)
    finally:
        with suppress(exceptions.GoogleAPICallError):
            client.delete_table(name, not_found_ok=True, timeout=10)
