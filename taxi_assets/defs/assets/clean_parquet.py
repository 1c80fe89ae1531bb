"""The month in the canonical schema, and what the rules rejected."""

import hashlib
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    DataVersion,
    MaterializeResult,
    MetadataValue,
)
from pydantic import Field

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import PENDING, clean_object, rejected_object
from taxi_assets.defs.assets.common import (
    CODE_VERSION,
    as_dagster_failure,
    month_asset,
    month_of,
    newest_raw,
    progress_logger,
)
from taxi_assets.defs.assets.metadata import counts_table, preview
from taxi_assets.defs.checks import CLEAN_CHECKS, check_clean_month, stops
from taxi_assets.errors import ServiceError
from taxi_assets.months import month_text
from taxi_assets.resources.lake import LakeObject, LakeResource, crc32c_of


class CleanConfig(Config):
    """What a run may change, in the launchpad."""

    rules_off: list[str] = Field(
        default=[], description="Names of rules not to apply in this run; recorded with the month."
    )
    force: bool = Field(
        default=False, description="Clean the month again though the file, the rules and the code are still the same."
    )


def build_clean_parquet(dataset: Dataset) -> AssetsDefinition:
    """The asset `<dataset>/clean_parquet`."""
    rules = "\n".join(f"{n}. `{rule.name}`: {rule.description}" for n, rule in enumerate(dataset.rules, start=1))

    @month_asset(
        dataset,
        "clean_parquet",
        pool="clean",
        kinds={"parquet", "pyarrow"},
        after="raw_file",
        checks=CLEAN_CHECKS,
        description=f"""one row a trip, in the one schema that all months share.

Made from the archived raw file; every raw row ends either here or, with its reason and its original text, in the
month's file of rejected rows. The first rule that a row breaks is its reason:

{rules}

A rerun gives the same bytes, so it only checks them where the file, the rules and the code are those of the published
month. New files wait in the lake under `{PENDING}` until `gcs_object` publishes them.""",
    )
    def clean_parquet(context: AssetExecutionContext, config: CleanConfig, lake: LakeResource) -> MaterializeResult:
        month, say = month_of(context), progress_logger(context)
        with as_dagster_failure(context), lake.scratch() as folder:
            raw = newest_raw(lake, dataset, month)
            if raw is None:
                raise ServiceError(
                    f"The lake has no raw file of {dataset.name} {month_text(month)}; materialize raw_file first."
                )
            published = None if config.force else _published(lake, dataset, month, raw, config.rules_off)
            kept, rejected, manifest = published or clean_file(
                lake.fetch(raw.name),
                dataset,
                month,
                folder,
                raw_sha256=raw.metadata["sha256"],
                rules_off=config.rules_off,
                source=raw.metadata["source"],
                progress=lambda rows: say(f"{rows:,} rows read"),
            )
            checks = check_clean_month(dataset, kept, rejected, manifest)
            names = {kept: clean_object(dataset.name, month), rejected: rejected_object(dataset.name, month)}
            ten_rows = preview(kept)
            sizes = {path: path.stat().st_size for path in names}
            # Tells the files of one cleaning from those of another, so that never one of each is published.
            cleaning = hashlib.sha256(manifest.to_json().encode()).hexdigest()
            if published is None and not stops(checks):
                for path, name in names.items():
                    metadata = {
                        "crc32c": crc32c_of(path),
                        "rows": str(pq.read_metadata(path).num_rows),
                        "source": manifest.source,
                        "raw_file": manifest.raw_file,
                        "raw_sha256": manifest.raw_sha256,
                        "code_version": CODE_VERSION,
                        "cleaning": cleaning,
                    }
                    lake.put(
                        path, PENDING + name, metadata | ({"manifest": manifest.to_json()} if path == kept else {})
                    )
                    move_to_cache(path, lake.local_path(name))
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in manifest.rejected.items() if count)
        context.log.info(
            "%s raw rows: %s kept, %s rejected%s%s",
            f"{manifest.raw_rows:,}",
            f"{manifest.kept.rows:,}",
            f"{manifest.rejected_rows:,}",
            f" ({reasons})" if reasons else "",
            "; published already by the same code from the same file" if published else "",
        )
        return MaterializeResult(
            metadata={
                "dagster/partition_row_count": manifest.kept.rows,
                "raw_rows": manifest.raw_rows,
                "rejected_rows": manifest.rejected_rows,
                "rejected_by_reason": counts_table(manifest.rejected, "reason"),
                "flagged_rows": counts_table(manifest.flagged, "flag"),
                "rules_off": manifest.rules_off,
                "cleaned": published is None,
                "layout": manifest.layout,
                "first_pickup": str(manifest.kept.first_pickup),
                "last_pickup": str(manifest.kept.last_pickup),
                "total_amounts_usd": MetadataValue.json({k: v / 100 for k, v in manifest.kept.cents.items()}),
                "bytes": sizes[kept],
                "rejected_bytes": sizes[rejected],
                "raw_file": manifest.raw_file,
                "raw_sha256": manifest.raw_sha256,
                "source": manifest.source,
                "preview": MetadataValue.md(ten_rows),
            },
            check_results=checks,
            data_version=DataVersion(f"{manifest.raw_sha256}+{CODE_VERSION}+{','.join(manifest.rules_off)}"),
        )

    return clean_parquet


def _published(
    lake: LakeResource, dataset: Dataset, month: date, raw: LakeObject, rules_off: Sequence[str]
) -> tuple[Path, Path, Manifest] | None:
    """The month's published files with their manifest, if cleaning the raw file now would give the same ones."""
    names = clean_object(dataset.name, month), rejected_object(dataset.name, month)
    kept, rejected = (lake.find(name) for name in names)
    if kept is None or rejected is None or any(lake.find(PENDING + name) for name in names):
        return None
    same = {"raw_sha256": raw.metadata["sha256"], "source": raw.metadata["source"], "code_version": CODE_VERSION}
    for item in (kept, rejected):
        said = {name: item.metadata.get(name) for name in (*same, "cleaning", "crc32c")}
        if said != same | {"cleaning": kept.metadata.get("cleaning"), "crc32c": item.crc32c}:
            return None
    if "manifest" not in kept.metadata:
        return None
    manifest = Manifest.from_json(kept.metadata["manifest"])
    if manifest.rules_off != sorted(rules_off):
        return None
    return lake.fetch(kept.name), lake.fetch(rejected.name), manifest


def move_to_cache(path: Path, cached: Path) -> None:
    """Move a finished file to its place in the cache."""
    cached.parent.mkdir(parents=True, exist_ok=True)
    os.replace(path, cached)
