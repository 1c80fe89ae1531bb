"""What the assets share: their arguments, their month, and how errors meant for people leave them."""

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetRecordsFilter,
    AssetsDefinition,
    Backoff,
    Config,
    Failure,
    Jitter,
    MaterializeResult,
    RetryPolicy,
    asset,
)
from pydantic import Field

from taxi_assets import __version__
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.object_names import clean_object, raw_prefix
from taxi_assets.contract.schemas import CONTRACT_VERSION
from taxi_assets.defs.assets.metadata import column_schema
from taxi_assets.defs.checks import Check
from taxi_assets.defs.partitions import monthly
from taxi_assets.errors import ServiceError, TaxiError
from taxi_assets.months import month_text, parse_month
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.runtime.queues import queue_tags

CODE_VERSION = f"{__version__}+contract.{CONTRACT_VERSION}"
PROGRESS_SECONDS = 5.0
# For faults that pass; those that do not raise Failure(allow_retries=False).
RETRIES = RetryPolicy(max_retries=3, delay=5, backoff=Backoff.EXPONENTIAL, jitter=Jitter.PLUS_MINUS)


def month_asset(
    dataset: Dataset,
    name: str,
    *,
    description: str,
    pool: str,
    kinds: set[str],
    after: str | None = None,
    checks: Sequence[Check] = (),
    has_columns: bool = True,
) -> Callable[[Callable[..., MaterializeResult]], AssetsDefinition]:
    """`@asset` for the asset `<dataset>/<name>`, which depends on the dataset's asset `after`."""
    key = [dataset.name, name]
    return asset(
        key=key,
        deps=[[dataset.name, after]] if after else None,
        group_name=dataset.name,
        partitions_def=monthly(dataset),
        description=f"{dataset.title}: {description}",
        metadata={"dagster/column_schema": column_schema(dataset.schema)} if has_columns else None,
        check_specs=[check.of(key) for check in checks],
        kinds=kinds,
        pool=pool,
        op_tags=queue_tags(pool),
        retry_policy=RETRIES,
        code_version=CODE_VERSION,
    )


def month_of(context: AssetExecutionContext) -> date:
    """The month that the step materializes."""
    return parse_month(context.partition_key)


def progress_logger(context: AssetExecutionContext) -> Callable[[str], None]:
    """A function that says in the run's log how far the step is, every few seconds however often it is called."""
    said = time.monotonic()

    def say(text: str) -> None:
        nonlocal said
        if time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            context.log.info(text)

    return say


@contextmanager
def as_dagster_failure(context: AssetExecutionContext) -> Iterator[None]:
    """Let an error meant for people end the step as its one sentence, retried only if that may help."""
    try:
        yield
    except TaxiError as error:
        raise Failure(str(error), allow_retries=error.retryable) from error
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise Failure(
                f"{error.filename or 'The data folder'} cannot be written ({error.strerror}); set TAXI_DATA_DIR to a "
                "folder of yours, then run it again.",
                allow_retries=False,
            ) from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Failure(
            f"The disk is full ({error}); free some space or set TAXI_DATA_DIR to a folder on a larger disk, "
            "then run it again.",
            allow_retries=False,
        ) from error


def newest_raw(lake: LakeResource, dataset: Dataset, month: date) -> LakeObject | None:
    """The raw file of a month that was archived last, whatever name its source gave it."""
    found = [
        item
        for item in lake.list(raw_prefix(dataset.name))
        if month_text(month) in Path(item.name).name and "archived_at" in item.metadata
    ]
    return max(found, key=lambda item: item.metadata["archived_at"], default=None)


def published_month(
    lake: LakeResource, dataset: Dataset, month: date, made_by: str = "gcs_object"
) -> tuple[LakeObject, Manifest]:
    """The month's kept rows in the lake, with their manifest; `made_by` is the asset to run if they are missing.

    Raises:
        ServiceError: the month is not published, or its object was not made by this project.
    """
    name = clean_object(dataset.name, month)
    found = lake.find(name)
    if found is None:
        raise ServiceError(f"gs://{lake.bucket}/{name} is not there; materialize {dataset.name}/{made_by} first.")
    if "manifest" not in found.metadata:
        raise ServiceError(
            f"{found.uri} was overwritten by hand (it has no manifest); materialize {dataset.name}/clean_parquet and "
            "what comes after it again."
        )
    return found, Manifest.from_json(found.metadata["manifest"])


class LoadConfig(Config):
    """What a run may be told of a load, in the launchpad."""

    force: bool = Field(
        default=False, description="Load also a month that was loaded from the same object and whose totals are right."
    )


def current_totals(
    context: AssetExecutionContext,
    warehouse: BigQueryWarehouse | PostgresWarehouse,
    dataset: Dataset,
    month: date,
    kept: LakeObject,
    manifest: Manifest,
) -> Totals | None:
    """The month's totals, if this asset's last materialization loaded this very object and they are still right."""
    wanted = AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=[context.partition_key])
    for record in context.instance.fetch_materializations(wanted, limit=1).records:
        last = record.asset_materialization
        crc32c = last.metadata.get("object_crc32c") if last else None
        if crc32c is not None and crc32c.value == kept.crc32c and warehouse.month_rows(dataset, month, month):
            totals = warehouse.month_totals(dataset, month)
            return None if totals.differences(manifest.kept) else totals
    return None


def load_result(
    context: AssetExecutionContext,
    table: str,
    kept: LakeObject,
    manifest: Manifest,
    checks: Sequence[AssetCheckResult],
    *,
    already: bool,
) -> MaterializeResult:
    """What a warehouse's asset says of the month that it published in the table, now or `already` before."""
    context.log.info("%s rows %s in %s", f"{manifest.kept.rows:,}", "are already" if already else "published", table)
    return MaterializeResult(
        metadata={
            "dagster/table_name": table,
            "dagster/partition_row_count": manifest.kept.rows,
            "loaded": not already,
            "loaded_from": kept.uri,
            "object_crc32c": kept.crc32c,
            "raw_sha256": manifest.raw_sha256,
            "source": manifest.source,
        },
        check_results=checks,
    )
