"""The month's file as TLC published it."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.object_names import raw_prefix
from taxi_assets.defs.assets.common import (
    CODE_VERSION,
    as_dagster_failure,
    month_asset,
    month_of,
    progress_logger,
)
from taxi_assets.defs.assets.published_file import published_file_key
from taxi_assets.download.fingerprint import Fingerprint, RawFile
from taxi_assets.errors import SupersededError
from taxi_assets.reconcile.inventory import newest_raw
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets.resources.source import SourceResource


def build_raw_file(dataset: Dataset) -> dg.AssetsDefinition:
    """Build the asset `<dataset>/raw_file`."""

    @month_asset(
        dataset,
        "raw_file",
        layer="raw",
        pool="source",
        kinds={"file"},
        after=published_file_key(dataset),
        has_columns=False,
    )
    def raw_file(context: dg.AssetExecutionContext, source: SourceResource, lake: LakeResource) -> dg.MaterializeResult:
        """Archive the month's file byte for byte as published (CSV, CSV.gz or Parquet).

        It is streamed from TAXI_SOURCE to a temporary name, checked to be what it claims, fingerprinted, and archived
        in the lake under its published name. A rerun checks whether the source's file has changed and fetches it only
        then. With `TAXI_SOURCE=sample`, the local default, the file is a made-up sample in TLC's format, not TLC's
        data.
        """
        with as_dagster_failure(context):
            raw, archived = _archive(source, lake, dataset, month_of(context), progress_logger(context))
        context.log.info("%s, %s", archived.uri, "not modified" if raw.not_modified else f"{archived.bytes:,} bytes")
        return _result(raw, archived, source.is_sample)

    return raw_file


def _archive(
    source: SourceResource, lake: LakeResource, dataset: Dataset, month: date, progress: Callable[[str], None]
) -> tuple[RawFile, LakeObject]:
    """Fetch the month's file unless the archived one is current, and archive it."""
    archived = newest_raw(lake, dataset, month)
    known = Fingerprint.from_metadata(archived.metadata) if archived else None
    raw = source.fetch(
        dataset.name,
        month,
        lake.local_path(raw_prefix(dataset.name)),
        [known] if known else [],
        lambda done, total: progress(f"{done:,} of {total:,} bytes" if total else f"{done:,} bytes"),
    )
    if raw.path is not None:
        metadata = raw.fingerprint.to_metadata() | {
            "sha256": raw.sha256,
            "source": source.describe(dataset.name, month),
            "code_version": CODE_VERSION,
            "archived_at": _after(archived).isoformat(),
        }
        _check_not_late(newest_raw(lake, dataset, month), archived, raw)
        archived = lake.put(raw.path, raw_prefix(dataset.name) + raw.file_name, metadata)
    assert archived is not None, "without an archived file, the source always delivers one"
    return raw, archived


def _check_not_late(now: LakeObject | None, before: LakeObject | None, raw: RawFile) -> None:
    """Check that no other file was archived while this one was fetched: it may be newer, and must stay the newest.

    Raises:
        SupersededError: One was; a retry fetches what the source has by then.
    """
    if now is None or now.metadata.get("sha256") == raw.sha256:
        return
    if before is None or now.crc32c != before.crc32c:
        raise SupersededError(
            f"{now.uri} was archived while another file of the month was fetched, which may be older and was not "
            "archived. A retry fetches what the source has now."
        )


def _after(archived: LakeObject | None) -> datetime:
    """Return the time, but one after that of the archived file even if this machine's clock is behind."""
    now = datetime.now(UTC)
    if archived is None:
        return now
    return max(now, datetime.fromisoformat(archived.metadata["archived_at"]) + timedelta(microseconds=1))


def _result(raw: RawFile, archived: LakeObject, is_sample: bool) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata={
            "source": archived.metadata["source"],
            "is_sample": is_sample,
            "url": raw.fingerprint.url,
            "etag": raw.fingerprint.etag or "none given",
            "last_modified": raw.fingerprint.last_modified or "none given",
            "bytes": archived.bytes,
            "sha256": archived.metadata["sha256"],
            "downloaded": not raw.not_modified,
            "resumed_bytes": raw.resumed_bytes,
            "dagster/uri": archived.uri,
        },
        data_version=dg.DataVersion(archived.metadata["sha256"]),
    )
