"""What the assets share: their arguments, their month, and the conversion of errors to Dagster failures."""

import errno
import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import dagster as dg
from pydantic import Field

from taxi_assets import __version__
from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.object_names import clean_object
from taxi_assets.contract.schemas import CONTRACT_VERSION
from taxi_assets.defs.assets.metadata import LINEAGE, column_schema, same_columns
from taxi_assets.defs.checks import Check
from taxi_assets.defs.partitions import monthly
from taxi_assets.errors import ServiceError, SupersededError, TaxiError
from taxi_assets.months import month_text, parse_month
from taxi_assets.reconcile.inventory import newest_raw
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.resources.warehouse import Warehouse
from taxi_assets.runtime.queues import queue_tags

CODE_VERSION = f"{__version__}+contract.{CONTRACT_VERSION}"
PROGRESS_SECONDS = 5.0
# The tag that Dagster's launcher gives to the runs of a code server.
_LAUNCHED = ".dagster/grpc_info"
OWNERS = ["team:data-platform"]
# Not as a policy of the assets: with one, Dagster retries a step that was canceled, and any defect.
RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


def month_asset(
    dataset: Dataset,
    name: str,
    *,
    layer: str,
    pool: str,
    kinds: set[str],
    after: Sequence[str],
    checks: Sequence[Check] = (),
    has_columns: bool = True,
    lineage: dg.TableColumnLineage | None = None,
    required_resource_keys: set[str] | None = None,
    **names: str,
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """Return the decorator for the asset `<dataset>/<name>`, which depends on the asset `after`.

    The function's docstring is the asset's description; `names` fill its placeholders.
    """
    key = [dataset.name, name]
    metadata: dict[str, object] = {"dagster/column_schema": column_schema(dataset.schema)} if has_columns else {}
    if lineage is not None:
        metadata[LINEAGE] = lineage

    def decorate(compute: Callable[..., dg.MaterializeResult]) -> dg.AssetsDefinition:
        return dg.asset(
            key=key,
            deps=[dg.AssetKey(after)],
            group_name=dataset.name,
            partitions_def=monthly(dataset),
            description=description_of(compute, dataset.title, **names),
            metadata=metadata,
            check_specs=[check.of(key) for check in checks],
            kinds=kinds,
            owners=OWNERS,
            tags={"layer": layer},
            required_resource_keys=required_resource_keys,
            pool=pool,
            op_tags=queue_tags(pool),
            code_version=CODE_VERSION,
        )(compute)

    return decorate


def follow_every_month(*ignored: dg.AssetKey) -> dg.AutomationCondition:
    """Return the condition of assets that follow what they read, for months of any age: TLC publishes old ones anew.

    Updates of the assets that are `ignored` request nothing.
    """
    condition = dg.AutomationCondition.eager().without(dg.AutomationCondition.in_latest_time_window())
    return condition.ignore(dg.AssetSelection.assets(*ignored)) if ignored else condition


def build_group_sensor(
    group: str, enabled_by_default: bool, description: str
) -> dg.AutomationConditionSensorDefinition:
    """Build the sensor `<group>_sensor`, which requests the assets of the group by their conditions."""
    return dg.AutomationConditionSensorDefinition(
        f"{group}_sensor",
        target=dg.AssetSelection.groups(group),
        default_status=dg.DefaultSensorStatus.RUNNING if enabled_by_default else dg.DefaultSensorStatus.STOPPED,
        description=description,
    )


def description_of(compute: Callable[..., object], title: str, **names: str) -> str:
    """Return an asset's description: the title, then the function's docstring with its placeholders filled."""
    return f"{title}. {inspect.cleandoc(compute.__doc__ or '').format(**names)}"


def month_of(context: dg.AssetExecutionContext) -> date:
    """Return the month that the step materializes."""
    return parse_month(context.partition_key)


def progress_logger(context: dg.AssetExecutionContext) -> Callable[[str], None]:
    """Return a function that logs progress at most once every `PROGRESS_SECONDS`."""
    last = time.monotonic()

    def log(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_SECONDS:
            last = time.monotonic()
            context.log.info(text)

    return log


@contextmanager
def as_dagster_failure(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Convert a TaxiError to a Dagster Failure; request a retry only if it is transient.

    Ctrl-C in a shell cancels the run; Dagster itself takes an interrupt that nobody requested for a failure.
    """
    try:
        yield
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        # A run that a code server started is interrupted by its shutdown, too, and must then be started again.
        if _LAUNCHED not in context.run.tags:
            context.instance.report_run_canceling(context.run, "Interrupted by its user.")
        raise
    except TaxiError as error:
        failure = dg.Failure(str(error), allow_retries=False)
        if not error.retryable:
            raise failure from error
        delay = RETRIES.calculate_delay(context.retry_number + 1)
        # After the last retry, the step fails with the cause.
        raise dg.RetryRequested(RETRIES.max_retries, float(delay)) from failure
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise dg.Failure(
                f"{error.filename or 'The data folder'} cannot be written ({error.strerror}); set TAXI_DATA_DIR to a "
                "folder of yours, then run it again.",
                allow_retries=False,
            ) from error
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise dg.Failure(
            f"The disk is full ({error}); free some space or set TAXI_DATA_DIR to a folder on a larger disk, "
            "then run it again.",
            allow_retries=False,
        ) from error


def published_month(
    lake: LakeResource, dataset: Dataset, month: date, made_by: str = "gcs_object"
) -> tuple[LakeObject, Manifest]:
    """Return the month's kept rows in the lake, with their manifest.

    Raises:
        ServiceError: The month is not published, or its object was not made by this project; names `made_by`, the
            asset to run.
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


def is_newest(lake: LakeResource, dataset: Dataset, month: date, raw_sha256: str | None) -> bool:
    """Return whether no other raw file of the month was archived after that one."""
    raw = newest_raw(lake, dataset, month)
    return raw is None or raw.metadata.get("sha256") == raw_sha256


def superseded(dataset: Dataset, month: date) -> SupersededError:
    """Return the error of a run whose raw file is not the newest one any more."""
    return SupersededError(
        f"The lake has a newer raw file of {dataset.name} {month_text(month)} than the one that was cleaned, which is "
        f"not published; materialize {dataset.name}/clean_parquet and what comes after it, unless another run does."
    )


class ForceConfig(dg.Config):
    """Options of a step that skips its work when nothing changed, in the launchpad."""

    force: bool = Field(default=False, description="Do the work even if nothing has changed since the last time.")
    again: bool = Field(default=False, description="Deprecated name of `force`; goes in the release after 0.1.0.")

    @property
    def is_forced(self) -> bool:
        """Return whether `force`, or its deprecated name, is set."""
        return self.force or self.again


class LoadConfig(ForceConfig):
    """Options of a load, in the launchpad."""


def current_totals(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    dataset: Dataset,
    month: date,
    kept: LakeObject,
    manifest: Manifest,
) -> Totals | None:
    """Return the month's totals if the last materialization loaded this object and they still equal the manifest's."""
    wanted = dg.AssetRecordsFilter(asset_key=context.asset_key, asset_partitions=[context.partition_key])
    for record in context.instance.fetch_materializations(wanted, limit=1).records:
        last = record.asset_materialization
        crc32c = last.metadata.get("object_crc32c") if last else None
        if crc32c is not None and crc32c.value == kept.crc32c and warehouse.month_rows(dataset, month, month):
            totals = warehouse.month_totals(dataset, month)
            return None if totals.differences(manifest.kept) else totals
    return None


def load_result(
    context: dg.AssetExecutionContext,
    table: str,
    kept: LakeObject,
    manifest: Manifest,
    checks: Sequence[dg.AssetCheckResult],
    *,
    already: bool,
) -> dg.MaterializeResult:
    """Return the result of a month that was loaded into the table, now or `already` before."""
    context.log.info("%s rows %s in %s", f"{manifest.kept.rows:,}", "are already" if already else "published", table)
    return dg.MaterializeResult(
        metadata={
            LINEAGE: same_columns(DATASETS[manifest.dataset], "gcs_object"),
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
