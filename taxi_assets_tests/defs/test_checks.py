"""Both outcomes of every data-quality check, by calling it."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.defs import checks
from taxi_assets.resources.lake import LakeObject

FHV = DATASETS["fhv"]
APRIL = date(2020, 4, 1)
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


class Month:
    """A cleaned month's two files and its manifest."""

    def __init__(self, folder: Path) -> None:
        raw = folder / "raw.csv"
        rows = [f"B{i},2020-04-01 09:00:00,7" for i in range(19)]
        raw.write_text("\n".join(["dispatching_base_num,pickup_datetime,PULocationID", *rows, "torn"]))
        self.kept, self.rejected, self.manifest = clean_file(raw, FHV, APRIL, folder, source="sample")

    def check(self, name: str, **changes: Any) -> dg.AssetCheckResult:
        results = checks.check_clean_month(FHV, self.kept, self.rejected, replace(self.manifest, **changes))
        [result] = [result for result in results if result.check_name == name]
        return result

    def rewrite(self, table: pa.Table) -> None:
        pq.write_table(table, self.kept)


@pytest.fixture
def month(tmp_path: Path) -> Month:
    return Month(tmp_path)


def test_a_good_month_passes_all_checks(month: Month) -> None:
    results = checks.check_clean_month(FHV, month.kept, month.rejected, month.manifest)
    assert [result.check_name for result in results] == [check.name for check in checks.CLEAN_CHECKS]
    assert all(result.passed for result in results)
    assert not checks.stops(results)


def test_rows_are_conserved(month: Month) -> None:
    assert "20 raw rows, 19 kept and 1 rejected" in (month.check("rows_are_conserved").description or "")
    month.rewrite(pq.read_table(month.kept).slice(1))
    result = month.check("rows_are_conserved")
    assert (result.passed, result.severity) == (False, ERROR)
    assert checks.stops([result])


@pytest.mark.parametrize("change", ["type", "missing", "order"])
def test_schema_is_the_contract(month: Month, change: str) -> None:
    table = pq.read_table(month.kept)
    changed = {
        "type": table.set_column(5, "sr_flag", pa.nulls(19, pa.int64())),
        "missing": table.drop_columns(["sr_flag"]),
        "order": table.select(table.column_names[::-1]),
    }
    month.rewrite(changed[change])
    result = month.check("schema_is_the_contract")
    assert (result.passed, result.severity) == (False, ERROR)
    assert ("the order of the columns" if change == "order" else "sr_flag") in (result.description or "")
    assert checks.stops([result])


def test_month_is_not_empty(month: Month) -> None:
    assert month.check("month_is_not_empty").passed
    result = month.check("month_is_not_empty", kept=Totals())
    assert (result.passed, result.severity) == (False, ERROR)


@pytest.mark.parametrize(
    ("rejected", "passed", "stops"), [(0, True, False), (2, True, False), (3, False, False), (11, False, True)]
)
def test_rejected_share_is_usual(month: Month, rejected: int, passed: bool, stops: bool) -> None:
    """10 % are usual for fhv, and more than 50 % too many."""
    result = month.check("rejected_share_is_usual", rejected={"unreadable_row": rejected}, raw_rows=20)
    assert result.passed == passed
    assert checks.stops([result]) == stops
    assert passed or result.severity == (ERROR if stops else WARN)


@pytest.mark.parametrize("zone", [0, 266])
def test_zones_are_known(month: Month, zone: int) -> None:
    table = pq.read_table(month.kept)
    index = table.column_names.index("dropoff_location_id")
    month.rewrite(table.set_column(index, "dropoff_location_id", pa.array([zone] + [5] * 18, pa.int32())))
    result = month.check("zones_are_known")
    assert (result.passed, result.severity) == (False, WARN)
    assert str(zone) in (result.description or "")
    assert not checks.stops([result])


def test_raw_rows_are_those_published(month: Month) -> None:
    name = "raw_rows_are_those_published"
    published = checks.published_rows()["fhv", "2020-04"]
    parquet = {"layout": "parquet, 7 columns", "source": "https://example.org/x.parquet"}
    assert month.check(name, **parquet, raw_rows=published).passed
    result = month.check(name, **parquet, raw_rows=published - 1)
    assert (result.passed, result.severity) == (False, WARN)
    assert f"{published:,}" in (result.description or "")
    assert not checks.stops([result])


@pytest.mark.parametrize(
    "changes",
    [
        {"layout": "csv, 3 columns", "source": "sample"},
        {"layout": "parquet, 7 columns", "source": "sample"},
        {"layout": "parquet, 7 columns", "source": "https://example.org/x.parquet", "month": date(2035, 1, 1)},
    ],
)
def test_rows_that_were_not_counted_are_not_compared(month: Month, changes: dict[str, Any]) -> None:
    result = month.check("raw_rows_are_those_published", **changes)
    assert result.passed
    assert "No published count" in (result.description or "")


def test_rows_of_a_csv_are_compared_with_the_known_differences(month: Month) -> None:
    name, green = "raw_rows_are_those_published", DATASETS["green"]
    csv_file = replace(month.manifest, dataset="green", layout="csv.gz, 20 columns", source="https://example.org/x")
    for rows, passed in ((35_612, True), (35_644, False)):
        results = checks.check_clean_month(green, month.kept, month.rejected, replace(csv_file, raw_rows=rows))
        [result] = [result for result in results if result.check_name == name]
        assert (result.passed, result.severity) == (passed, WARN)
        assert "35,644" in (result.description or "")
        assert "32 fewer" in (result.description or "")


def test_a_csv_that_excel_cut_is_noticed(month: Month) -> None:
    result = month.check("raw_rows_are_those_published", layout="csv, 3 columns", raw_rows=1_048_575)
    assert (result.passed, result.severity) == (False, WARN)
    assert "Excel" in (result.description or "")


def test_the_causes_of_unreadable_rows_are_in_the_check(month: Month) -> None:
    result = month.check("rejected_share_is_usual")
    assert "1 row: a line has 1 field and not 3" in (result.description or "")


def test_a_stopped_month_shows_where_its_rejected_rows_are(month: Month) -> None:
    results = [month.check("rejected_share_is_usual", raw_rows=1), month.check("zones_are_known")]
    stopped, passed = checks.with_rejected_rows(results, "gs://b/rejected/x")
    assert "gs://b/rejected/x" in (stopped.description or "")
    assert "rejected_rows" in stopped.metadata
    assert passed == results[1]


def lake_object(crc32c: str, made: str) -> LakeObject:
    return LakeObject("a", "gs://b/a", 1, crc32c, {"crc32c": made}, datetime(2020, 1, 1, tzinfo=UTC))


def test_objects_are_the_files() -> None:
    good, bad = lake_object("x", "x"), lake_object("x", "y")
    [result] = checks.check_objects([good, good])
    assert result.passed
    for objects, said in (([good, bad], "gs://b/a"), ([good, None], "one is missing")):
        [result] = checks.check_objects(objects)
        assert (result.passed, result.severity) == (False, ERROR)
        assert said in (result.description or "")
        assert checks.stops([result])


def test_table_is_the_lake(month: Month) -> None:
    manifest: Manifest = month.manifest
    [result] = checks.check_warehouse(manifest.kept, manifest)
    assert result.passed
    for other in (
        replace(manifest.kept, rows=18),
        replace(manifest.kept, cents={"fare_amount": 1}),
        replace(manifest.kept, last_pickup=None),
    ):
        [result] = checks.check_warehouse(other, manifest)
        assert (result.passed, result.severity) == (False, ERROR)
        assert "against" in (result.description or "")
        assert checks.stops([result])


def test_a_check_of_an_asset_is_by_its_months() -> None:
    for check in (*checks.CLEAN_CHECKS, *checks.GCS_CHECKS, *checks.WAREHOUSE_CHECKS):
        spec = check.of(["fhv", "clean_parquet"])
        assert spec.partitions_def is not None
        assert spec.blocking == check.blocking
        assert spec.asset_key.path == ["fhv", "clean_parquet"]
