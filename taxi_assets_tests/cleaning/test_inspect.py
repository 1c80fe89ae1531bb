"""What is said of a file before it is loaded."""

import gzip
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxi_assets.cleaning.inspect import as_text, inspect_file
from taxi_assets.errors import BadFileError, ContractError, SettingsError

FHV = (
    "Dispatching_base_num, Pickup_date ,locationID\nB1,2020-04-01 09:00:00,7,,\nB1,2020-04-01 09:00:00,7,,\nB2,x,8,,\n"
)
YELLOW_2010 = "vendor_id,pickup_datetime,dropoff_datetime,trip_distance\nCMT,2010-01-01 09:00,2010-01-01 10:00,1\n"


def file(folder: Path, name: str, text: str = FHV) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_what_is_found(tmp_path: Path) -> None:
    found = inspect_file(file(tmp_path, "fhv_tripdata_2020-04.csv"))
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "file": "fhv_tripdata_2020-04.csv",
        "dataset": "fhv",
        "month": "2020-04",
        "layout": {"format": "csv", "columns": 3, "fields": 5},
        "separator": "comma",
        "rows": 3,
        "kept": 2,
        "rejected": {
            "unreadable_row": 1,
            "missing_times": 0,
            "pickup_outside_month": 0,
            "dropoff_before_pickup": 0,
            "unknown_zone": 0,
            "duplicate_row": 0,
        },
        "flagged": {"clock_resets": 0, "end_of_daylight_saving": 0},
        "causes": [
            {
                "text": " Pickup_date  'x' is no time",
                "column": " Pickup_date ",
                "expected": "time",
                "value": "x",
                "rows": 1,
            }
        ],
        "zones": [],
        "zoned_times": None,
        "ignored": [],
        "discarded": [],
        "is_cut": False,
        "columns": [
            {"published": "Dispatching_base_num", "column": "dispatching_base_num"},
            {"published": " Pickup_date ", "column": "pickup_datetime"},
            {"published": "locationID", "column": "pickup_location_id"},
        ],
        "absent": ["dropoff_datetime", "dropoff_location_id", "sr_flag", "affiliated_base_number"],
    }


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    raw = file(tmp_path, "fhv_tripdata_2020-04.csv")
    inspect_file(raw)
    with pytest.raises(ContractError):
        inspect_file(file(tmp_path, "yellow_tripdata_2020-04.csv"))
    assert list((tmp_path / "tmp").iterdir()) == []
    assert raw.read_text() == FHV


@pytest.mark.parametrize(
    ("name", "dataset", "month"),
    [
        ("fhv_tripdata_2020-04.csv", "fhv", "2020-04"),
        ("FHV_tripdata_2020-04.sample1000.csv", "fhv", "2020-04"),
        ("copy of fhv-2020-04-01.csv.gz", "fhv", "2020-04"),
        # The columns say it.
        ("trips 2015-01.csv", "fhv", "2015-01"),
    ],
)
def test_dataset_and_month_by_name_or_columns(tmp_path: Path, name: str, dataset: str, month: str) -> None:
    found = inspect_file(file(tmp_path, name))
    assert (found["dataset"], found["month"]) == (dataset, month)


def test_what_the_caller_says_wins(tmp_path: Path) -> None:
    found = inspect_file(file(tmp_path, "green_tripdata_2020-04.csv"), dataset="fhv", month="2020-06-01")
    assert (found["dataset"], found["month"]) == ("fhv", "2020-06")
    assert found["rejected"]["pickup_outside_month"] == 2


def test_columns_that_two_datasets_could_have(tmp_path: Path) -> None:
    path = file(tmp_path, "2010-01.csv", YELLOW_2010)
    with pytest.raises(SettingsError, match=r"Neither the name nor the columns of 2010-01\.csv.*--dataset"):
        inspect_file(path)
    assert inspect_file(path, dataset="yellow")["kept"] == 1


def test_parquet_with_a_column_that_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "fhv_tripdata_2020-04.parquet"
    pq.write_table(pa.table({"pickup_datetime": ["2020-04-01"], "__index_level_0__": [0]}), path)
    found = inspect_file(path)
    assert found["layout"] == {"format": "parquet", "columns": 2, "fields": 2}
    assert found["columns"][1] == {"published": "__index_level_0__", "column": None}
    assert "(ignored)" in as_text(found)


@pytest.mark.parametrize(
    ("name", "options", "error", "said"),
    [
        ("fhv_tripdata.csv", {}, SettingsError, "which month.*--month"),
        ("fhv_tripdata_2020-13.csv", {}, SettingsError, "'2020-13' is no month"),
        ("fhv_tripdata_2020-04.csv", {"month": "04/2020"}, SettingsError, "'04/2020' is no month"),
        ("fhv_tripdata_2020-04.csv", {"dataset": "limo"}, SettingsError, "'limo' is no dataset; there are yellow"),
        ("fhv_tripdata_2014-12.csv", {}, SettingsError, "first month is 2015-01"),
        ("fhv_tripdata_2020-04.zip", {}, BadFileError, r"ends in none of \.csv, \.csv\.gz, \.parquet"),
        ("green_tripdata_2020-04.csv", {}, ContractError, "'Dispatching_base_num'.*green"),
    ],
)
def test_errors(tmp_path: Path, name: str, options: dict[str, str], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        inspect_file(file(tmp_path, name), **options)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="is not a file"):
        inspect_file(tmp_path / "fhv_tripdata_2020-04.csv")
    with pytest.raises(BadFileError, match="is not a file"):
        inspect_file(tmp_path)
    (tmp_path / "2020-04.parquet").write_text("<html>")
    with pytest.raises(BadFileError, match="not a readable Parquet file"):
        inspect_file(tmp_path / "2020-04.parquet")


def test_as_text(tmp_path: Path) -> None:
    text = as_text(inspect_file(file(tmp_path, "fhv_tripdata_2020-04.csv.gz")))
    assert "fhv_tripdata_2020-04.csv.gz: fhv 2020-04, csv.gz, 3 columns, 5 fields in a row" in text
    lines = {" ".join(line.split()) for line in text.splitlines()}
    assert {"Pickup_date pickup_datetime", "in the file 3", "kept 2", "unreadable_row 1", "clock_resets 0"} <= lines
