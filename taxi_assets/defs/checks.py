"""The data-quality checks: what each expects of a month, and whether failing it stops the month.

They run inside the steps of the assets, on every materialization. A blocking check that fails ends the run before
anything downstream publishes.
"""

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
from dagster_shared.utils.warnings import PreviewWarning

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import EXCEL_LINES, Manifest, Totals, is_cut_by_excel
from taxi_assets.contract.rules import ZONES
from taxi_assets.defs.partitions import monthly
from taxi_assets.months import month_text
from taxi_assets.resources.lake import LakeObject

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


@dataclass(frozen=True)
class Check:
    """A check's name, its expectation, and whether its failure stops the month."""

    name: str
    description: str
    blocking: bool = True

    def of(self, key: Sequence[str]) -> dg.AssetCheckSpec:
        """Return the spec of the check on a dataset's asset, partitioned by month."""
        with warnings.catch_warnings():
            # Partitioned checks are a preview feature; without them, results of months overwrite each other.
            warnings.simplefilter("ignore", PreviewWarning)
            return dg.AssetCheckSpec(
                self.name,
                asset=list(key),
                description=self.description,
                blocking=self.blocking,
                partitions_def=monthly(DATASETS[key[0]]),
            )


CONSERVED = Check("rows_are_conserved", "Raw rows = kept rows + rejected rows, counted in the files that were written.")
SCHEMA = Check("schema_is_the_contract", "The kept rows' columns and types are those of the dataset's contract.")
NOT_EMPTY = Check("month_is_not_empty", "At least one row was kept.")
USUAL_REJECTS = Check(
    "rejected_share_is_usual", "The share of rejected rows is in the dataset's usual range; far above stops the month."
)
KNOWN_ZONES = Check("zones_are_known", f"Every zone id is one of {ZONES.start} to {ZONES.stop - 1}.", blocking=False)
PUBLISHED_ROWS = Check(
    "raw_rows_are_those_published",
    "A file has as many rows as TLC's of its format had when they were counted, and Excel has not cut it; TLC "
    "re-publishes months, so it only warns.",
    blocking=False,
)
OBJECTS = Check("objects_are_the_files", "The bucket's checksum of each object is that of the file that was made.")
WAREHOUSE = Check(
    "table_is_the_lake", "The published month has the lake's rows, sums of money, first pickup and last pickup."
)

CLEAN_CHECKS = (CONSERVED, SCHEMA, NOT_EMPTY, USUAL_REJECTS, KNOWN_ZONES, PUBLISHED_ROWS)
GCS_CHECKS = (OBJECTS,)
WAREHOUSE_CHECKS = (WAREHOUSE,)
_BLOCKING = {check.name for check in (*CLEAN_CHECKS, *GCS_CHECKS, *WAREHOUSE_CHECKS) if check.blocking}


def stops(results: Sequence[dg.AssetCheckResult]) -> bool:
    """Return whether any result stops the month."""
    return any(not r.passed and r.severity == ERROR and r.check_name in _BLOCKING for r in results)


def check_clean_month(dataset: Dataset, kept: Path, rejected: Path, manifest: Manifest) -> list[dg.AssetCheckResult]:
    """Check a month's two Parquet files."""
    return [
        _rows_are_conserved(kept, rejected, manifest),
        _schema_is_the_contract(dataset, kept),
        _month_is_not_empty(manifest),
        _rejected_share_is_usual(dataset, manifest),
        _zones_are_known(kept),
        _raw_rows_are_those_published(dataset, manifest),
    ]


def check_objects(objects: Sequence[LakeObject | None]) -> list[dg.AssetCheckResult]:
    """Check a month's published objects."""
    wrong = [o.uri if o else "one is missing" for o in objects if o is None or o.crc32c != o.metadata.get("crc32c")]
    return [_result(OBJECTS, not wrong, f"Not as made: {', '.join(wrong)}." if wrong else "All checksums are equal.")]


def check_warehouse(published: Totals, manifest: Manifest) -> list[dg.AssetCheckResult]:
    """Check a month in a warehouse, as queried after it was published."""
    differences = published.differences(manifest.kept)
    text = f"The table differs from the lake: {'; '.join(differences)}." if differences else "All totals are equal."
    return [_result(WAREHOUSE, not differences, text)]


def _result(
    check: Check, passed: bool, description: str, severity: dg.AssetCheckSeverity = ERROR
) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(check_name=check.name, passed=passed, description=description, severity=severity)


def _rows_are_conserved(kept: Path, rejected: Path, manifest: Manifest) -> dg.AssetCheckResult:
    written = [pq.read_metadata(path).num_rows for path in (kept, rejected)]
    return _result(
        CONSERVED,
        manifest.raw_rows == sum(written),
        f"{manifest.raw_rows:,} raw rows, {written[0]:,} kept and {written[1]:,} rejected.",
    )


def _schema_is_the_contract(dataset: Dataset, kept: Path) -> dg.AssetCheckResult:
    found, expected = pq.read_schema(kept), dataset.schema.arrow
    wrong = [f"{f.name} {f.type}" for f in found if f not in list(expected)]
    wrong += [f"no {f.name} {f.type}" for f in expected if f not in list(found)]
    same = found.equals(expected)
    what = ", ".join(wrong) or "the order of the columns"
    return _result(SCHEMA, same, "All columns agree." if same else f"Not as in the contract: {what}.")


def _month_is_not_empty(manifest: Manifest) -> dg.AssetCheckResult:
    kept = manifest.kept.rows
    text = f"{kept:,} of {manifest.raw_rows:,} rows were kept."
    return _result(NOT_EMPTY, kept > 0, text if kept else f"{text}{_causes_sentence(manifest)}")


def causes_text(manifest: Manifest) -> str:
    """Return the most frequent causes of unreadable rows in words; empty if there are none."""
    return "; ".join(map(str, manifest.causes))


def _causes_sentence(manifest: Manifest) -> str:
    return f" Most frequent causes of unreadable rows: {causes_text(manifest)}." if manifest.causes else ""


def with_rejected_rows(results: Sequence[dg.AssetCheckResult], uri: str) -> list[dg.AssetCheckResult]:
    """Return the results of a stopped month with the address of its rejected rows in those that stopped it."""
    return [
        result._replace(
            description=f"{result.description} The rejected rows are in {uri}.",
            metadata={**result.metadata, "rejected_rows": dg.MetadataValue.path(uri)},
        )
        if stops([result])
        else result
        for result in results
    ]


def _rejected_share_is_usual(dataset: Dataset, manifest: Manifest) -> dg.AssetCheckResult:
    share = manifest.rejected_share
    return _result(
        USUAL_REJECTS,
        share <= dataset.usual_rejects,
        f"{share:.2%} of the rows were rejected; up to {dataset.usual_rejects:.0%} is usual, above "
        f"{dataset.too_many_rejects:.0%} stops the month.{_causes_sentence(manifest)}",
        ERROR if share > dataset.too_many_rejects else WARN,
    )


def _zones_are_known(kept: Path) -> dg.AssetCheckResult:
    file = pq.ParquetFile(kept)
    unknown = set()
    for name in ("pickup_location_id", "dropoff_location_id"):
        index = file.schema_arrow.get_field_index(name)
        for group in range(file.metadata.num_row_groups):
            statistics = file.metadata.row_group(group).column(index).statistics
            if statistics is not None and statistics.has_min_max:
                unknown |= {zone for zone in (statistics.min, statistics.max) if zone not in ZONES}
    return _result(KNOWN_ZONES, not unknown, f"Unknown: {sorted(unknown)}." if unknown else "All are known.", WARN)


def _raw_rows_are_those_published(dataset: Dataset, manifest: Manifest) -> dg.AssetCheckResult:
    key = dataset.name, month_text(manifest.month)
    expected = published_rows().get(key)
    if manifest.source.startswith("sample"):
        expected = None
    if is_cut_by_excel(manifest):
        text = f"{manifest.raw_rows:,} raw rows: the file was cut by Excel, which keeps {EXCEL_LINES:,} lines at most."
        return _result(PUBLISHED_ROWS, False, text, WARN)
    if expected is None:
        return _result(PUBLISHED_ROWS, True, "No published count to compare with: not TLC's file, or not counted.")
    found, is_parquet = manifest.raw_rows, manifest.layout.startswith("parquet")
    text = f"{found:,} raw rows; TLC's {'' if is_parquet else 'Parquet '}file had {expected:,} when it was counted"
    missing = 0 if is_parquet else rows_missing_in_csv().get(key, 0)
    if missing:
        text += f", and its CSV {missing:,} fewer"
    return _result(PUBLISHED_ROWS, found == expected - missing, f"{text}.", WARN)


@cache
def published_rows() -> dict[tuple[str, str], int]:
    """Return the rows of TLC's Parquet files by dataset and month (`2020-04`), as counted in mid-2024."""
    return _counts("published_rows.csv")


@cache
def rows_missing_in_csv() -> dict[tuple[str, str], int]:
    """Return by dataset and month how many rows TLC's CSV has fewer than its Parquet file, where they differ."""
    return _counts("rows_missing_in_csv.csv")


def _counts(name: str) -> dict[tuple[str, str], int]:
    with files("taxi_assets.contract").joinpath(name).open(encoding="utf-8") as file:
        return {(row["dataset"], row["month"]): int(row["rows"]) for row in csv.DictReader(file)}
