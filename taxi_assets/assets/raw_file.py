"""The month's file as TLC published it."""

import time
from datetime import UTC, datetime

from dagster import AssetExecutionContext, AssetsDefinition, DataVersion, MaterializeResult

from taxi_assets.assets.common import CODE_VERSION, failures, month_asset, month_of, newest_raw
from taxi_assets.datasets import Dataset
from taxi_assets.fingerprint import Fingerprint
from taxi_assets.months import month_text
from taxi_assets.paths import raw_prefix
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.source import SourceResource

PROGRESS_SECONDS = 5.0


def build_raw_file(dataset: Dataset) -> AssetsDefinition:
    """The asset `<dataset>/raw_file`."""

    @month_asset(
        dataset,
        "raw_file",
        pool="source",
        kinds={"file"},
        has_columns=False,
        description="""the month's file byte for byte as published (CSV, CSV.gz or Parquet).

It is streamed from TAXI_SOURCE to a temporary name, checked to be what it claims, fingerprinted, and archived in
the lake under its published name. A rerun asks the source whether the file has changed and fetches it only then.
With `TAXI_SOURCE=sample`, the local default, the file is a made-up sample in TLC's format, not TLC's data.""",
    )
    def raw_file(context: AssetExecutionContext, source: SourceResource, lake: LakeResource) -> MaterializeResult:
        month = month_of(context)
        with failures(context):
            archived = newest_raw(lake, dataset, month)
            known = Fingerprint.from_metadata(archived.metadata) if archived else None
            raw = source.fetch(
                dataset.name,
                month,
                lake.local_path(raw_prefix(dataset.name)),
                [known] if known else [],
                _Progress(context, f"{dataset.name} {month_text(month)}"),
            )
            if raw.path is not None:
                metadata = raw.fingerprint.to_metadata() | {
                    "sha256": raw.sha256,
                    "source": source.describe(dataset.name, month),
                    "code_version": CODE_VERSION,
                    "archived_at": datetime.now(UTC).isoformat(),
                }
                archived = lake.put(raw.path, raw_prefix(dataset.name) + raw.file_name, metadata)
            assert archived is not None, "nothing to compare with, so something was fetched"
        context.log.info("%s, %s", archived.uri, "not modified" if raw.not_modified else f"{archived.bytes:,} bytes")
        return MaterializeResult(
            metadata={
                "source": archived.metadata["source"],
                "is_sample": source.is_sample,
                "url": raw.fingerprint.url,
                "etag": raw.fingerprint.etag or "none given",
                "last_modified": raw.fingerprint.last_modified or "none given",
                "bytes": archived.bytes,
                "sha256": archived.metadata["sha256"],
                "downloaded": not raw.not_modified,
                "resumed_bytes": raw.resumed_bytes,
                "dagster/uri": archived.uri,
            },
            data_version=DataVersion(archived.metadata["sha256"]),
        )

    return raw_file


class _Progress:
    """Says in the run's log how far a transfer is, every few seconds."""

    def __init__(self, context: AssetExecutionContext, what: str) -> None:
        self._context, self._what, self._said = context, what, time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        if time.monotonic() - self._said < PROGRESS_SECONDS:
            return
        self._said = time.monotonic()
        self._context.log.info("%s: %s of %s bytes", self._what, f"{done:,}", f"{total:,}" if total else "unknown")
