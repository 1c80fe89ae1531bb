"""One month in the dialects of other programs: the kept rows are equal in all."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.errors import ContractError

GREEN, MARCH = DATASETS["green"], date(2021, 3, 1)
COUNT = 40


def month() -> pd.DataFrame:
    """Return a month with nulls; the last day is one that decides the order of day and month."""
    pickups = [datetime(2021, 3, 1 + i % 30, 9 + i % 12, i, 7) for i in range(COUNT)]
    return pd.DataFrame(
        {
            "VendorID": pd.array([None if i % 5 == 0 else 1 + i % 2 for i in range(COUNT)], "Int64"),
            "lpep_pickup_datetime": pickups,
            "lpep_dropoff_datetime": [time + timedelta(minutes=20) for time in pickups],
            "store_and_fwd_flag": [None if i % 5 == 0 else "NY"[i % 2] for i in range(COUNT)],
            "PULocationID": [1 + i for i in range(COUNT)],
            "trip_distance": [1.25 + i for i in range(COUNT)],
            "total_amount": [1000.5 + i for i in range(COUNT)],
            "payment_type": pd.array([None if i % 5 == 0 else 1 + i % 2 for i in range(COUNT)], "Int64"),
        }
    )


def kept(path: Path, **options: Any) -> list[dict[str, Any]]:
    made, _, manifest = clean_file(path, GREEN, MARCH, path.parent, options=ReadingOptions(**options))
    assert (manifest.raw_rows, manifest.rejected_rows, manifest.causes) == (COUNT, 0, [])
    rows: list[dict[str, Any]] = pq.read_table(made).to_pylist()
    return rows


@pytest.fixture
def expected(tmp_path: Path) -> list[dict[str, Any]]:
    (tmp_path / "plain").mkdir()
    month().to_csv(tmp_path / "plain" / "x.csv", index=False)
    rows = kept(tmp_path / "plain" / "x.csv")
    assert [row["pickup_datetime"] for row in rows] == month()["lpep_pickup_datetime"].tolist()
    assert sum(row["payment_type"] is None for row in rows) == 8
    return rows


TIMES = ["%m/%d/%Y %I:%M:%S %p", "%Y-%m-%dT%H:%M:%S.%f", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%d.%m.%Y %H:%M:%S"]
WORDS = ["nan", "NaN", "NULL", "null", r"\N", "None", "NA", "N/A"]
CSV: dict[str, dict[str, Any]] = {
    **{f"times {form}": {"date_format": form, "index": False} for form in TIMES},
    **{f"null {word}": {"na_rep": word, "index": False} for word in WORDS},
    **{f"separator {sep!r}": {"sep": sep, "index": False} for sep in ("\t", ";", "|")},
    "decimal comma": {"sep": ";", "decimal": ",", "index": False},
    "index": {},
    "named index": {"index_label": "id"},
    "level_0": {"index_label": "level_0"},
    "quoted": {"quoting": 1, "index": False},
    "utf-16": {"encoding": "utf-16", "sep": "\t", "index": False},
    "bom": {"encoding": "utf-8-sig", "index": False},
    "carriage returns": {"lineterminator": "\r\n", "index": False},
}


@pytest.mark.parametrize("name", CSV)
def test_csv(tmp_path: Path, expected: list[dict[str, Any]], name: str) -> None:
    month().to_csv(tmp_path / "x.csv", **CSV[name])
    assert kept(tmp_path / "x.csv") == expected


RENAMED = {
    "Azure": ["vendorID", "lpepPickupDatetime", "lpepDropoffDatetime", "storeAndFwdFlag", "puLocationId"],
    "BigQuery": ["vendor_id", "pickup_datetime", "dropoff_datetime", "store_and_fwd_flag", "pickup_location_id"],
    "dlt": ["vendor_id", "lpep_pickup_datetime", "lpep_dropoff_datetime", "store_and_fwd_flag", "pu_location_id"],
}


@pytest.mark.parametrize("mirror", RENAMED)
def test_names_of_mirrors(tmp_path: Path, expected: list[dict[str, Any]], mirror: str) -> None:
    frame = month()
    frame.columns = pd.Index([*RENAMED[mirror], *frame.columns[5:]])
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert kept(tmp_path / "x.csv") == expected


@pytest.mark.parametrize("texts", [("true", "false"), ("True", "False"), ("t", "f")])
def test_truth_values(tmp_path: Path, expected: list[dict[str, Any]], texts: tuple[str, str]) -> None:
    frame = month()
    frame["store_and_fwd_flag"] = frame["store_and_fwd_flag"].map({"Y": texts[0], "N": texts[1]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    assert kept(tmp_path / "x.csv") == expected


def test_parquet_with_nan_and_booleans(tmp_path: Path, expected: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pandas(month())
    vendors = pa.array([float("nan") if v is None else float(v) for v in table["VendorID"].to_pylist()])
    flags = pa.array([None if v is None else v == "Y" for v in table["store_and_fwd_flag"].to_pylist()])
    table = table.set_column(0, "VendorID", vendors).set_column(3, "store_and_fwd_flag", flags)
    pq.write_table(table, tmp_path / "x.parquet")
    assert kept(tmp_path / "x.parquet") == expected


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_utc_is_read_as_the_user_decides(tmp_path: Path, expected: list[dict[str, Any]], ending: str) -> None:
    instants, marked = month(), month()
    for name in ("lpep_pickup_datetime", "lpep_dropoff_datetime"):
        # The clock has no 2:00 to 3:00 in the night to the 14th, in which no trip begins here.
        instants[name] = instants[name].dt.tz_localize("America/New_York").dt.tz_convert("UTC")
        marked[name] = marked[name].dt.tz_localize("UTC")
    for frame, how in ((instants, "convert"), (marked, "as_wall_clock")):
        path = tmp_path / f"x.{ending}"
        frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
        assert kept(path, zoned_times=how) == expected
    with pytest.raises(ContractError, match=r"2021-03-01 09:00:07 and .* or 2021-03-01 04:00:07 and .*zoned_times"):
        kept(path)


def test_the_order_of_day_and_month_must_show(tmp_path: Path) -> None:
    frame = month()[lambda rows: rows["lpep_pickup_datetime"].dt.day <= 12]
    frame.to_csv(tmp_path / "x.csv", index=False, date_format="%m/%d/%Y %H:%M:%S")
    with pytest.raises(ContractError, match="no row of the file shows which"):
        kept(tmp_path / "x.csv")


@pytest.mark.parametrize("values", [[1614589207] * COUNT, ["09:00:07"] * COUNT, [[1]] * COUNT, [{"a": 1}] * COUNT])
def test_what_is_no_time_is_refused_in_a_sentence(tmp_path: Path, values: list[Any]) -> None:
    table = pa.Table.from_pandas(month()).set_column(1, "lpep_pickup_datetime", pa.array(values))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ContractError, match="'lpep_pickup_datetime' holds"):
        kept(tmp_path / "x.parquet")
