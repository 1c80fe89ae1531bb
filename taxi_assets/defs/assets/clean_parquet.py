"""The month in the canonical schema, and what the rules rejected."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
from pydantic import Field

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object, stopped_object
from taxi_assets.defs.assets.common import (
    CODE_VERSION,
    ForceConfig,
    as_dagster_failure,
    is_newest,
    month_asset,
    month_of,
    progress_logger,
    superseded,
)
from taxi_assets.defs.assets.metadata import LINEAGE, causes_table, counts_table, preview, published_columns
from taxi_assets.defs.checks import CLEAN_CHECKS, causes_text, check_clean_month, stops, with_rejected_rows
from taxi_assets.errors import ServiceError
from taxi_assets.months import month_text
from taxi_assets.reconcile.inventory import newest_raw
from taxi_assets.resources.lake import LakeObject, LakeResource, crc32c_of


class ZonedTimesChoice(Enum):
    """The values of `zoned_times`; Dagster's config takes no literals."""

    convert = "convert"
    as_wall_clock = "as_wall_clock"


class UnknownColumnsChoice(Enum):
    """The values of `unknown_columns`."""

    freeze = "freeze"
    discard = "discard"


class CleanConfig(ForceConfig):
    """Options of a cleaning, in the launchpad."""

    rules_off: list[str] = Field(
        default=[], description="Names of rules not to apply in this run; recorded with the month."
    )
    zoned_times: ZonedTimesChoice | None = Field(
        default=None,
        description="How to read times marked UTC: `convert` or `as_wall_clock`; by default as TAXI_ZONED_TIMES says.",
    )
    unknown_columns: UnknownColumnsChoice | None = Field(
        default=None,
        description="What to do with columns that the contract does not know: `freeze` or `discard`; by default as "
        "TAXI_UNKNOWN_COLUMNS says.",
    )

    def reading(self, defaults: ReadingOptions) -> ReadingOptions:
        """Return how this run reads the file."""
        return ReadingOptions(
            self.zoned_times.value if self.zoned_times else defaults.zoned_times,
            self.unknown_columns.value if self.unknown_columns else defaults.unknown_columns,
        )


@dataclass(frozen=True)
class CleanMonth:
    """The two files of a month and their manifest; `is_published` if the lake has them already."""

    kept: Path
    rejected: Path
    manifest: Manifest
    is_published: bool


def build_clean_parquet(dataset: Dataset, options: ReadingOptions) -> dg.AssetsDefinition:
    """Build the asset `<dataset>/clean_parquet`; `options` hold for runs that set no others."""
    lineage = published_columns(dataset)

    @month_asset(
        dataset,
        "clean_parquet",
        layer="clean",
        pool="clean",
        kinds={"parquet", "pyarrow"},
        after=[dataset.name, "raw_file"],
        checks=CLEAN_CHECKS,
        lineage=lineage,
        rules="\n".join(f"{n}. `{rule.name}`: {rule.description}" for n, rule in enumerate(dataset.rules, start=1)),
        pending=PENDING,
    )
    def clean_parquet(
        context: dg.AssetExecutionContext, config: CleanConfig, lake: LakeResource
    ) -> dg.MaterializeResult:
        """Clean the month's raw file: one row a trip, in the one schema that all months share.

        Every raw row ends either here or, with its reason and its original text, in the month's file of rejected rows.
        The first rule that a row breaks is its reason:

        {rules}

        A rerun gives the same bytes. If the file, the rules and the code are those of the published month, it only
        checks the published files. New files wait in the lake under `{pending}` until `gcs_object` publishes them. If a
        check stops the month, its rejected rows are stored all the same; the failed check has their address.
        """
        month = month_of(context)
        with as_dagster_failure(context), lake.scratch() as folder:
            reading = config.reading(options)
            cleaned = _clean(lake, dataset, month, config, reading, folder, progress_logger(context))
            checks = check_clean_month(dataset, cleaned.kept, cleaned.rejected, cleaned.manifest)
            facts = _facts(cleaned)
            if stops(checks):
                checks = with_rejected_rows(checks, _store_stopped(lake, dataset, month, cleaned).uri)
            else:
                if not cleaned.is_published:
                    _store(lake, dataset, month, cleaned)
                _remove_stopped(lake, dataset, month)
        context.log.info(_summary(cleaned))
        manifest = cleaned.manifest
        return dg.MaterializeResult(
            metadata={LINEAGE: lineage, **facts},
            check_results=checks,
            data_version=dg.DataVersion(_data_version(manifest)),
        )

    return clean_parquet


def _clean(
    lake: LakeResource,
    dataset: Dataset,
    month: date,
    config: CleanConfig,
    reading: ReadingOptions,
    folder: Path,
    progress: Callable[[str], None],
) -> CleanMonth:
    """Return the month's published files if they are current; otherwise clean the raw file into the folder.

    Raises:
        ServiceError: The lake has no raw file of the month.
    """
    raw = newest_raw(lake, dataset, month)
    if raw is None:
        raise ServiceError(
            f"The lake has no raw file of {dataset.name} {month_text(month)}; materialize raw_file first."
        )
    published = None if config.is_forced else _published(lake, dataset, month, raw, config.rules_off, reading)
    if published is not None:
        return published
    files = clean_file(
        lake.fetch(raw.name),
        dataset,
        month,
        folder,
        raw_sha256=raw.metadata["sha256"],
        rules_off=config.rules_off,
        source=raw.metadata["source"],
        options=reading,
        progress=lambda rows: progress(f"{rows:,} rows read"),
    )
    return CleanMonth(*files, is_published=False)


def _published(
    lake: LakeResource,
    dataset: Dataset,
    month: date,
    raw: LakeObject,
    rules_off: Sequence[str],
    reading: ReadingOptions,
) -> CleanMonth | None:
    """Return the month's published files if cleaning the raw file now would give the same ones."""
    names = clean_object(dataset.name, month), rejected_object(dataset.name, month)
    kept, rejected = (lake.find(name) for name in names)
    if kept is None or rejected is None or any(lake.find(PENDING + name) for name in names):
        return None
    if not is_current(kept, rejected, raw, rules_off, reading):
        return None
    manifest = Manifest.from_json(kept.metadata["manifest"])
    return CleanMonth(lake.fetch(kept.name), lake.fetch(rejected.name), manifest, is_published=True)


def is_current(
    kept: LakeObject, rejected: LakeObject, raw: LakeObject, rules_off: Sequence[str], reading: ReadingOptions
) -> bool:
    """Return whether both objects come whole from one cleaning of this raw file by this code, rules and options."""
    expected = {
        "raw_sha256": raw.metadata["sha256"],
        "source": raw.metadata["source"],
        "code_version": CODE_VERSION,
        "cleaning": kept.metadata.get("cleaning"),
    }
    for item in (kept, rejected):
        wanted = expected | {"crc32c": item.crc32c}
        if {name: item.metadata.get(name) for name in wanted} != wanted:
            return False
    if "manifest" not in kept.metadata:
        return False
    manifest = Manifest.from_json(kept.metadata["manifest"])
    # Of the options, only those count that made a difference to this file.
    same_columns = not manifest.discarded or reading.unknown_columns == "discard"
    same_times = manifest.zoned_times is None or manifest.zoned_times == reading.zoned_times
    return manifest.rules_off == sorted(rules_off) and same_columns and same_times


def _data_version(manifest: Manifest) -> str:
    options = [option for option in (manifest.zoned_times, "discard" if manifest.discarded else None) if option]
    return "+".join([manifest.raw_sha256, CODE_VERSION, ",".join(manifest.rules_off), *options])


def _store_stopped(lake: LakeResource, dataset: Dataset, month: date, cleaned: CleanMonth) -> LakeObject:
    """Upload the rejected rows of a month that a check stopped, apart from those of published months."""
    manifest = cleaned.manifest
    metadata = {"source": manifest.source, "raw_file": manifest.raw_file, "raw_sha256": manifest.raw_sha256}
    return lake.put(cleaned.rejected, stopped_object(dataset.name, month), metadata | {"code_version": CODE_VERSION})


def _remove_stopped(lake: LakeResource, dataset: Dataset, month: date) -> None:
    """Remove the rejected rows of the month's stopped cleaning, if one came before."""
    stopped = lake.find(stopped_object(dataset.name, month))
    if stopped is not None:
        lake.remove(stopped)


def _store(lake: LakeResource, dataset: Dataset, month: date, cleaned: CleanMonth) -> None:
    """Upload the two files as pending objects and move them to the cache.

    Raises:
        SupersededError: A newer raw file was archived meanwhile.
    """
    manifest = cleaned.manifest
    if not is_newest(lake, dataset, month, manifest.raw_sha256):
        raise superseded(dataset, month)
    common = {
        "source": manifest.source,
        "raw_file": manifest.raw_file,
        "raw_sha256": manifest.raw_sha256,
        "code_version": CODE_VERSION,
        # Identifies the cleaning, so that files of two cleanings are never published together.
        "cleaning": hashlib.sha256(manifest.to_json().encode()).hexdigest(),
    }
    for path, name, more in (
        (cleaned.kept, clean_object(dataset.name, month), {"manifest": manifest.to_json()}),
        (cleaned.rejected, rejected_object(dataset.name, month), {}),
    ):
        counted = {"crc32c": crc32c_of(path), "rows": str(pq.read_metadata(path).num_rows)}
        lake.put(path, PENDING + name, common | counted | more)
        move_to_cache(path, lake.local_path(name))


def _summary(cleaned: CleanMonth) -> str:
    manifest = cleaned.manifest
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejected.items() if count)
    causes = f"; most frequent causes of unreadable rows: {causes_text(manifest)}" if manifest.causes else ""
    return (
        f"{manifest.raw_rows:,} raw rows: {manifest.kept.rows:,} kept, {manifest.rejected_rows:,} rejected"
        f"{f' ({reasons})' if reasons else ''}{causes}"
        f"{'; published already by the same code from the same file' if cleaned.is_published else ''}"
    )


def _facts(cleaned: CleanMonth) -> dict[str, dg.MetadataValue | str | int | list[str]]:
    """Return the month's metadata; reads the files, which later move."""
    manifest = cleaned.manifest
    return {
        "dagster/partition_row_count": manifest.kept.rows,
        "raw_rows": manifest.raw_rows,
        "rejected_rows": manifest.rejected_rows,
        "rejected_by_reason": counts_table(manifest.rejected, "reason"),
        "flagged_rows": counts_table(manifest.flagged, "flag"),
        "unreadable_causes": causes_table(manifest),
        "rules_off": manifest.rules_off,
        "ignored_columns": manifest.ignored,
        "discarded_columns": manifest.discarded,
        "time_zones": manifest.zones,
        "zoned_times": manifest.zoned_times or "no times marked UTC",
        "cleaned": not cleaned.is_published,
        "layout": manifest.layout,
        "first_pickup": str(manifest.kept.first_pickup),
        "last_pickup": str(manifest.kept.last_pickup),
        "total_amounts_usd": dg.MetadataValue.json({k: v / 100 for k, v in manifest.kept.cents.items()}),
        "bytes": cleaned.kept.stat().st_size,
        "rejected_bytes": cleaned.rejected.stat().st_size,
        "raw_file": manifest.raw_file,
        "raw_sha256": manifest.raw_sha256,
        "source": manifest.source,
        "preview": dg.MetadataValue.md(preview(cleaned.kept)),
    }


def move_to_cache(path: Path, cached: Path) -> None:
    """Move a finished file to its place in the cache."""
    cached.parent.mkdir(parents=True, exist_ok=True)
    path.replace(cached)
