"""The cleaned month, published in the lake."""

from collections.abc import Sequence
from datetime import date

import dagster as dg

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object
from taxi_assets.defs.assets.common import (
    as_dagster_failure,
    is_newest,
    month_asset,
    month_of,
    published_month,
    superseded,
)
from taxi_assets.defs.assets.metadata import LINEAGE, same_columns
from taxi_assets.defs.checks import GCS_CHECKS, check_objects
from taxi_assets.errors import ServiceError
from taxi_assets.months import month_text
from taxi_assets.reconcile.inventory import newest_raw
from taxi_assets.resources.lake import LakeObject, LakeResource


def build_gcs_object(dataset: Dataset) -> dg.AssetsDefinition:
    """Build the asset `<dataset>/gcs_object`."""
    lineage = same_columns(dataset, "clean_parquet")

    @month_asset(
        dataset,
        "gcs_object",
        layer="clean",
        pool="gcs",
        kinds={"gcs", "parquet"},
        after=[dataset.name, "clean_parquet"],
        checks=GCS_CHECKS,
        lineage=lineage,
    )
    def gcs_object(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
        """Publish the month's kept and rejected rows as objects in the bucket.

        Each object replaces the month's earlier one atomically, after the bucket's checksum was compared with the
        file's. Object metadata holds rows, source, fingerprints and code version. A rerun changes nothing.
        """
        month = month_of(context)
        with as_dagster_failure(context):
            _promote(lake, dataset, month)
            kept, manifest = published_month(lake, dataset, month, made_by="clean_parquet")
            rejected, raw = lake.find(rejected_object(dataset.name, month)), newest_raw(lake, dataset, month)
        context.log.info("%s, %s bytes", kept.uri, f"{kept.bytes:,}")
        return dg.MaterializeResult(
            metadata={LINEAGE: lineage, **_facts(kept, rejected, raw, manifest)},
            check_results=check_objects([kept, rejected]),
            data_version=dg.DataVersion(kept.crc32c),
        )

    return gcs_object


def _promote(lake: LakeResource, dataset: Dataset, month: date) -> None:
    """Give the pending objects of the month their final names.

    Raises:
        ServiceError: The kept and the rejected rows come from different cleanings.
        SupersededError: A newer raw file was archived since the cleaning, so that this one would be a step back.
    """
    names = rejected_object(dataset.name, month), clean_object(dataset.name, month)
    # In a rerun nothing is pending: the objects published before are verified again.
    found = [lake.find(PENDING + name) or lake.find(name) for name in names]
    # From two cleanings, a row could be in both objects or in neither.
    if len({item.metadata.get("cleaning") for item in found if item is not None}) > 1:
        raise ServiceError(
            f"The kept and the rejected rows of {dataset.name} {month_text(month)} that wait in the lake are of two "
            f"cleanings, as a killed run leaves them; materialize {dataset.name}/clean_parquet again."
        )

    def check(pending: LakeObject) -> None:
        if not is_newest(lake, dataset, month, pending.metadata.get("raw_sha256")):
            _discard(lake, names, pending)
            raise superseded(dataset, month)

    for name in names:
        lake.promote(PENDING + name, name, check)


def _discard(lake: LakeResource, names: Sequence[str], of: LakeObject) -> None:
    """Remove the pending objects of a cleaning."""
    for name in names:
        found = lake.find(PENDING + name)
        if found is not None and found.metadata.get("cleaning") == of.metadata.get("cleaning"):
            lake.remove(found)


def _facts(
    kept: LakeObject, rejected: LakeObject | None, raw: LakeObject | None, manifest: Manifest
) -> dict[str, str | int]:
    return {
        "dagster/uri": kept.uri,
        "dagster/partition_row_count": manifest.kept.rows,
        "rejected_rows": manifest.rejected_rows,
        "rejected_uri": rejected.uri if rejected else "missing",
        "raw_uri": raw.uri if raw else "missing",
        "bytes": kept.bytes,
        "crc32c": kept.crc32c,
        "source": manifest.source,
        "raw_sha256": manifest.raw_sha256,
    }
