"""The cleaned month, published in the lake."""

from dagster import AssetExecutionContext, AssetsDefinition, DataVersion, MaterializeResult

from taxi_assets.assets.common import failures, month_asset, month_of, newest_raw, published_month
from taxi_assets.checks import GCS_CHECKS, check_objects
from taxi_assets.datasets import Dataset
from taxi_assets.paths import PENDING, clean_object, rejected_object
from taxi_assets.resources.lake import LakeResource


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
        with failures(context):
            for name in (rejected_object(dataset.name, month), clean_object(dataset.name, month)):
                pending = lake.find(PENDING + name)
                # A rerun finds nothing pending: then what was published before is verified once more.
                if pending is not None:
                    lake.promote(pending.name, name, pending.metadata)
            kept, manifest = published_month(lake, dataset, month)
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
