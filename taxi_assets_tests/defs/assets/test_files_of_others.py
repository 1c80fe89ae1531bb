"""Files of trips as people have them, under ../shared/wild, and TLC's own, under ../shared/tlc, through all assets."""

from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.object_names import clean_object, stopped_object
from taxi_assets.months import parse_month
from taxi_assets_tests.cleaning.test_wild_files import READ, WILD
from taxi_assets_tests.conftest import TLC, World, failure

has_wild_files = pytest.mark.skipif(not WILD.is_dir(), reason=f"{WILD} is not there; it is not part of the project")
# Most rows of this file are of other months.
STOPPED = "yellow_2017.socrata-id-column.csv"
# Five of its nine rows are of other months.
MOSTLY_OF_OTHER_MONTHS = "yellow_tripdata_2019-01"
# The packed months are in test_months.py.
FILES = [path for path in sorted(TLC.glob("[hst]*/*_tripdata_*")) if path.suffix != ".gz"] or [Path("none")]


def run(world: World, path: Path, month: str, **config: str) -> dg.ExecuteInProcessResult:
    dataset = path.name.split("_")[0]
    ops = {"ops": {f"{dataset}__clean_parquet": {"config": config}}} if config else None
    return world.with_source(path.as_uri()).run(dataset, parse_month(month), run_config=ops)


def check_sinks(world: World, dataset: str, month: str, kept: int) -> None:
    totals = world.totals(dataset, parse_month(month))
    assert totals["lake"].rows == kept
    assert totals["bigquery"] == totals["lake"]
    assert totals["postgres"] == totals["lake"]
    assert not world.leftovers()


@has_wild_files
@pytest.mark.parametrize("name", sorted(READ.keys() - {STOPPED}))
def test_each_arrives_whole(world: World, name: str) -> None:
    month, rows, kept, rejected, ignored = READ[name]
    dataset = name.split("_")[0]
    result = run(world, WILD / name, month)
    assert result.success
    check_sinks(world, dataset, month, kept)
    reasons = world.rejected(dataset, parse_month(month))["reason"].to_pylist()
    assert {reason: reasons.count(reason) for reason in reasons} == rejected
    clean = result.asset_materializations_for_node(f"{dataset}__clean_parquet")[0].metadata
    assert (clean["raw_rows"].value, clean["ignored_columns"].value) == (rows, ignored)


@has_wild_files
def test_a_month_of_other_months_is_stopped_with_its_rejected_rows_kept(world: World) -> None:
    month, rows, kept, rejected, _ = READ[STOPPED]
    result = run(world, WILD / STOPPED, month)
    assert not result.success
    name = stopped_object("yellow", parse_month(month))
    [check] = [check for check in result.get_asset_check_evaluations() if not check.passed and check.blocking]
    assert name in (check.description or "")
    assert pq.read_metadata(world.lake.fetch(name)).num_rows == sum(rejected.values()) == rows - kept
    assert world.lake.find(clean_object("yellow", parse_month(month))) is None


@has_wild_files
def test_what_lacks_columns_is_refused_in_a_sentence(world: World) -> None:
    sentence = failure(run(world, WILD / "green_2021-07.excel-dates-3-columns.csv", "2021-07"))
    assert "lacks the column 'trip_distance'" in sentence


@has_wild_files
def test_unknown_columns_are_left_out_when_the_run_discards_them(world: World) -> None:
    path = WILD / "green_2022-01.extra-columns.parquet"
    assert "'duration_min', 'prediction'" in failure(run(world, path, "2022-01"))
    result = run(world, path, "2022-01", unknown_columns="discard")
    assert result.success
    check_sinks(world, "green", "2022-01", 200)
    clean = result.asset_materializations_for_node("green__clean_parquet")[0].metadata
    assert clean["discarded_columns"].value == ["duration_min", "prediction"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_of_tlc_s_files_arrives_whole(world: World, tlc: Path, path: Path) -> None:
    dataset, month = path.name.split(".")[0].split("_tripdata_")
    result = run(world, path, month)
    if path.stem == MOSTLY_OF_OTHER_MONTHS:
        [check] = [check for check in result.get_asset_check_evaluations() if not check.passed and check.blocking]
        assert "66.67% of the rows were rejected" in (check.description or "")
        return
    assert result.success
    clean = result.asset_materializations_for_node(f"{dataset}__clean_parquet")[0].metadata
    check_sinks(world, dataset, month, clean["raw_rows"].value - clean["rejected_rows"].value)
