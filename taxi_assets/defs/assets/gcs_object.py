"""The cleaned month, published in the lake."""

from datetime import date

from dagster import AssetExecutionContext, AssetsDefinition, DataVersion, MaterializeResult

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object
from taxi_assets.defs.assets.common import as_dagster_failure, month_asset, month_of, newest_raw, published_month
from taxi_assets.defs.checks import GCS_CHECKS, check_objects
from taxi_assets.errors import ServiceError
from taxi_assets.months import month_text
from taxi_assets.resources.lake import LakeObject, LakeResource


def build_gcs_object(dataset: Dataset) -> AssetsDefinition:
    """The asset `<dataset>/gcs_object`."""

    @month_asset(
        dataset,
        "gcs_object",
        pool="gcs",
        kinds={"gcs", "parquet"},
        after="clean_parquet",
        checks=GCS_CHECKS,
        description="""the month's kept and rejected rows as objects in the bucket.

They take the place of the month's earlier objects, one by one and each at once, after the bucket's checksum was
compared with the files'. Object metadata tells rows, source, fingerprints and code version. A rerun changes
nothing.""",
    )
    def gcs_object(context: AssetExecutionContext, lake: LakeResource) -> MaterializeResult:
        month = month_of(context)
        with as_dagster_failure(context):
            names = rejected_object(dataset.name, month), clean_object(dataset.name, month)
            # A rerun finds nothing pending: then what was published before is verified once more.
            _refuse_halves([lake.find(PENDING + name) or lake.find(name) for name in names], dataset, month)
            for name in names:
                lake.promote(PENDING + name, name)
            kept, manifest = published_month(lake, dataset, month, made_by="clean_parquet")
            rejected = lake.find(rejected_object(dataset.name, month))
            checks = check_objects([kept, rejected])
            raw = newest_raw(lake, dataset, month)
        context.log.info("%s, %s bytes", kept.uri, f"{kept.bytes:,}")
        return MaterializeResult(
            metadata={
                "dagster/uri": kept.uri,
                "dagster/partition_row_count": manifest.kept.rows,
                "rejected_rows": manifest.rejected_rows,
                "rejected_uri": rejected.uri if rejected else "missing",
                "raw_uri": raw.uri if raw else "missing",
                "bytes": kept.bytes,
                "crc32c": kept.crc32c,
                "source": manifest.source,
                "raw_sha256": manifest.raw_sha256,
            },
            check_results=checks,
            data_version=DataVersion(kept.crc32c),
        )

    return gcs_object


def _refuse_halves(both: list[LakeObject | None], dataset: Dataset, month: date) -> None:
    """Refuse kept and rejected rows that are not of one cleaning: a row could be in both, or in neither."""
    if len({found.metadata.get("cleaning") for found in both if found is not None}) > 1:
        raise ServiceError(
            f"The kept and the rejected rows of {dataset.name} {month_text(month)} that wait in the lake are of two "
            f"cleanings, as a killed run leaves them; materialize {dataset.name}/clean_parquet again."
        )
