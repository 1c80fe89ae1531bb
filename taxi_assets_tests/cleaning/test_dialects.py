"""One month in the dialects of other programs: the kept rows are equal in all."""

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.cleaning.options import ReadingOptions
from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.errors import ContractError
from taxi_assets_tests.support.dialects import DIALECTS, make_month, published_name

GREEN, MONTH = DATASETS["green"], date(2024, 2, 1)


def kept(path: Path, dataset: Dataset = GREEN, **options: Any) -> list[dict[str, Any]]:
    made, _, manifest = clean_file(path, dataset, MONTH, path.parent, options=ReadingOptions(**options))
    assert (manifest.rejected_rows, manifest.causes) == (0, [])
    rows: list[dict[str, Any]] = pq.read_table(made).to_pylist()
    assert len(rows) == manifest.raw_rows
    return rows


def expected(month: pa.Table, dataset: Dataset) -> list[dict[str, Any]]:
    """Return the canonical rows of the month, from its values alone."""
    names = {published_name(column): column.name for column in dataset.schema.published}
    absent = dict.fromkeys(dataset.schema.names) | {"source_month": MONTH}
    return [absent | {names[name]: value for name, value in row.items()} for row in month.to_pylist()]


def test_there_are_many_dialects() -> None:
    assert len(DIALECTS) >= 60


@pytest.mark.parametrize("name", DIALECTS)
@settings(max_examples=3, deadline=None)
@given(dataset=st.sampled_from(sorted(DATASETS)), seed=st.integers(0, 2**32))
def test_the_kept_rows_are_those_written(name: str, dataset: str, seed: int) -> None:
    month = make_month(DATASETS[dataset], MONTH, seed)
    ending, write = DIALECTS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ending
        write(month, path)
        assert kept(path, DATASETS[dataset]) == expected(month, DATASETS[dataset])


RENAMED = {
    "Azure": ["vendorID", "lpepPickupDatetime", "lpepDropoffDatetime", "storeAndFwdFlag", "rateCodeID", "puLocationId"],
    "BigQuery": [
        "vendor_id",
        "pickup_datetime",
        "dropoff_datetime",
        "store_and_fwd_flag",
        "rate_code",
        "pickup_location_id",
    ],
    "dlt": [
        "vendor_id",
        "lpep_pickup_datetime",
        "lpep_dropoff_datetime",
        "store_and_fwd_flag",
        "ratecode_id",
        "pu_location_id",
    ],
}


def frame() -> pd.DataFrame:
    """Return a month of the columns that mirrors rename, and the distance."""
    names = [
        "vendor_id",
        "pickup_datetime",
        "dropoff_datetime",
        "store_and_fwd_flag",
        "rate_code",
        "pickup_location_id",
    ]
    times = pd.date_range("2024-02-01 09:00:07", periods=20, freq="28h")
    values = [1, times, times + pd.Timedelta(minutes=20), "N", 1, 41]
    return pd.DataFrame(dict(zip(names, values, strict=True)) | {"trip_distance": 1.25})


@pytest.mark.parametrize("mirror", RENAMED)
def test_names_of_mirrors(tmp_path: Path, mirror: str) -> None:
    frame().to_csv(tmp_path / "x.csv", index=False)
    plain = kept(tmp_path / "x.csv")
    renamed = frame()
    renamed.columns = pd.Index([*RENAMED[mirror], "trip_distance"])
    renamed.to_csv(tmp_path / "x.csv", index=False)
    assert kept(tmp_path / "x.csv") == plain
    assert plain[0]["pickup_location_id"] == 41


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_utc_is_read_as_the_user_decides(tmp_path: Path, ending: str) -> None:
    instants, marked = frame(), frame()
    for name in ("pickup_datetime", "dropoff_datetime"):
        instants[name] = instants[name].dt.tz_localize("America/New_York").dt.tz_convert("UTC")
        marked[name] = marked[name].dt.tz_localize("UTC")
    for written, how in ((instants, "convert"), (marked, "as_wall_clock")):
        path = tmp_path / f"x.{ending}"
        written.to_csv(path, index=False) if ending == "csv" else written.to_parquet(path)
        times = [row["pickup_datetime"] for row in kept(path, zoned_times=how)]
        assert times == frame()["pickup_datetime"].tolist()
    with pytest.raises(ContractError, match=r"2024-02-01 09:00:07 and .* or 2024-02-01 04:00:07 and .*zoned_times"):
        kept(path)


def test_the_order_of_day_and_month_must_show(tmp_path: Path) -> None:
    undecided = frame()[lambda rows: rows["pickup_datetime"].dt.day <= 12]
    undecided.to_csv(tmp_path / "x.csv", index=False, date_format="%m/%d/%Y %H:%M:%S")
    with pytest.raises(ContractError, match="no row of the file shows which"):
        kept(tmp_path / "x.csv")


@pytest.mark.parametrize("values", [[1614589207] * 20, ["09:00:07"] * 20, [[1]] * 20, [{"a": 1}] * 20])
def test_what_is_no_time_is_refused_in_a_sentence(tmp_path: Path, values: list[Any]) -> None:
    table = pa.Table.from_pandas(frame()).set_column(1, "pickup_datetime", pa.array(values))
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(ContractError, match="'pickup_datetime' holds"):
        kept(tmp_path / "x.parquet")
