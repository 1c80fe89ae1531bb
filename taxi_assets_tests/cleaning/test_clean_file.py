"""A whole file: what is written, what is recorded with it, and rules switched off."""

import json
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxi_assets.cleaning import clean_file as cleaner
from taxi_assets.cleaning import reading
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.schemas import REJECTED_SCHEMA
from taxi_assets.errors import ContractError, SettingsError, TaxiError

FHV = DATASETS["fhv"]
APRIL = date(2020, 4, 1)
HEADER = "dispatching_base_num,pickup_datetime,dropoff_datetime,PULocationID\n"
GOOD = "B1,2020-04-01 09:00:00,2020-04-01 10:00:00,7"
LINES = (
    GOOD,
    "torn",
    "B2,2020-04-01 09:00:00,,8",
    GOOD,
    "B3,2021-04-01 09:00:00,,8",
    "B4,2020-04-01 09:00:00,2020-04-01 08:00:00,9",
    "B1,2020-04-01T09:00:00,2020-04-01 10:00, 7",
    "B5,2020-04-01 09:00:00,,999",
    "B6,2020-04-01 09:00:00,,5",
)


def cleaned(folder: Path, *lines: str, **options: Any) -> tuple[list[str], list[tuple[int, str, str]], Manifest]:
    """Bases of the kept rows; number, reason and original of the rejected ones; the manifest."""
    raw = folder / "fhv_tripdata_2020-04.csv"
    raw.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    kept, rejected, manifest = cleaner.clean_file(raw, FHV, APRIL, folder, **options)
    assert Manifest.of_file(kept) == manifest
    assert pq.read_schema(rejected).equals(REJECTED_SCHEMA)
    rows = pq.read_table(rejected).to_pylist()
    rejects = sorted((row["row_number"], row["reason"], row["original"]) for row in rows)
    return pq.read_table(kept).column("dispatching_base_num").to_pylist(), rejects, manifest


def test_every_row_is_kept_or_rejected_with_its_number_and_reason(tmp_path: Path) -> None:
    kept, rejected, manifest = cleaned(tmp_path, *LINES)
    assert kept == ["B1", "B2", "B6"]
    assert [(number, reason) for number, reason, _ in rejected] == [
        (2, "unreadable_row"),
        (4, "duplicate_row"),
        (5, "pickup_outside_month"),
        (6, "dropoff_before_pickup"),
        (7, "duplicate_row"),
        (8, "unknown_zone"),
    ]
    assert rejected[0][2] == "torn"
    assert rejected[2][2] == LINES[4]
    assert rejected[1][2] == LINES[3]
    assert rejected[4][2] == LINES[6]
    assert (manifest.raw_rows, manifest.kept.rows, manifest.rejected_rows) == (9, 3, 6)
    assert manifest.rejected == {
        "unreadable_row": 1,
        "missing_times": 0,
        "pickup_outside_month": 1,
        "dropoff_before_pickup": 1,
        "unknown_zone": 1,
        "duplicate_row": 2,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("fhv_tripdata_2020-04.csv", "kept.parquet", "rejected.parquet"),
    ]


def test_equal_rows_without_a_dropoff_are_different_trips(tmp_path: Path) -> None:
    line = "B2,2020-04-01 09:00:00,,8"
    kept, rejected, _ = cleaned(tmp_path, line, GOOD, line, GOOD)
    assert kept == ["B2", "B1", "B2"]
    assert [(number, reason) for number, reason, _ in rejected] == [(4, "duplicate_row")]


def test_the_manifest_says_where_the_rows_come_from(tmp_path: Path) -> None:
    *_, manifest = cleaned(tmp_path, GOOD, source="https://example.org/x.csv", raw_sha256="ab12")
    raw = tmp_path / "fhv_tripdata_2020-04.csv"
    assert (manifest.dataset, manifest.month, manifest.raw_file) == ("fhv", APRIL, raw.name)
    assert manifest.raw_sha256 == "ab12"
    assert manifest.layout == "csv, 4 columns"
    assert manifest.source == "https://example.org/x.csv"
    assert manifest.kept.first_pickup == manifest.kept.last_pickup
    metadata = pq.read_metadata(tmp_path / "rejected.parquet").metadata
    assert json.loads(metadata[b"header"]) == HEADER.strip().split(",")
    assert metadata[b"format"] == b"csv"


@pytest.mark.parametrize(
    ("off", "kept"),
    [
        (["duplicate_row"], ["B1", "B2", "B1", "B1", "B6"]),
        (["unknown_zone"], ["B1", "B2", "B5", "B6"]),
        (["pickup_outside_month", "dropoff_before_pickup"], ["B1", "B2", "B3", "B4", "B6"]),
    ],
)
def test_rules_that_are_off_reject_nothing_and_are_recorded(tmp_path: Path, off: list[str], kept: list[str]) -> None:
    found, rejected, manifest = cleaned(tmp_path, *LINES, rules_off=off)
    assert found == kept
    assert manifest.rules_off == sorted(off)
    assert [manifest.rejected[name] for name in off] == [0] * len(off)
    assert len(rejected) == 9 - len(kept) == manifest.rejected_rows


@pytest.mark.parametrize("name", ["no_passengers", "unreadable_row", "nonsense"])
def test_rules_that_cannot_be_off(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"'{name}' is no rule that fhv can switch off; those are missing_times"):
        cleaned(tmp_path, GOOD, rules_off=[name])


def test_a_file_without_rows(tmp_path: Path) -> None:
    kept, rejected, manifest = cleaned(tmp_path)
    assert (kept, rejected, manifest.raw_rows, manifest.rejected_share) == ([], [], 0, 0.0)
    assert pq.read_schema(tmp_path / "kept.parquet").equals(FHV.schema.arrow)


def test_a_file_of_which_no_row_stays(tmp_path: Path) -> None:
    kept, rejected, manifest = cleaned(tmp_path, "torn", "B1,,,", "torn")
    assert kept == []
    assert [reason for _, reason, _ in rejected] == ["unreadable_row", "missing_times", "unreadable_row"]
    assert manifest.rejected_share == 1.0


def test_progress_counts_up_to_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", 60)
    said: list[int] = []
    cleaned(tmp_path, *LINES, progress=said.append)
    assert said == sorted(said)
    assert said[-1] == len(LINES)
    assert len(said) > 2


def test_an_error_in_a_later_block_is_raised_and_leaves_no_finished_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("in a thread")

    monkeypatch.setattr(cleaner, "clean_block", fail)
    with pytest.raises(RuntimeError, match="in a thread"):
        cleaned(tmp_path, *LINES)
    # The manifest is what makes the file a finished month.
    assert b"taxi_assets" not in (pq.read_metadata(tmp_path / "kept.parquet").metadata or {})


def test_columns_of_another_dataset_write_nothing(tmp_path: Path) -> None:
    raw = tmp_path / "raw.csv"
    raw.write_text("a,b\n1,2\n")
    with pytest.raises(ContractError):
        cleaner.clean_file(raw, FHV, APRIL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


def test_shadow_rows_are_counted_and_stay(tmp_path: Path) -> None:
    names = "VendorID,lpep_pickup_datetime,lpep_dropoff_datetime,trip_distance,PULocationID,DOLocationID,total_amount"
    names += ",passenger_count,RatecodeID,store_and_fwd_flag,extra"
    shared = "2020-04-01 09:00:00,2020-04-01 10:00:00,3.0,7,8,12.30"
    lines = [names, f"2,{shared},1,1,N,0.5", f",{shared},,,,0", f",{shared.replace('12.30', '9')},,,,0"]
    raw = tmp_path / "raw.csv"
    raw.write_text("\n".join(lines))
    _, _, manifest = cleaner.clean_file(raw, DATASETS["green"], APRIL, tmp_path)
    assert manifest.flagged["shadow_duplicates"] == 1
    assert manifest.kept.rows == 3


def test_files_without_zones_are_not_searched_for_shadows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their shadow keys are all alike: looking for pairs would take the memory of the whole month."""
    monkeypatch.setattr(cleaner.KeyFiles, "count_shadows", lambda *_: pytest.fail("searched"))
    raw = tmp_path / "yellow_tripdata_2010-01.csv"
    raw.write_text(
        "vendor_id,pickup_datetime,dropoff_datetime,trip_distance\n" + "CMT,2010-01-01 09:00,2010-01-01 10:00,1\n"
    )
    _, _, manifest = cleaner.clean_file(raw, DATASETS["yellow"], date(2010, 1, 1), tmp_path)
    assert (manifest.kept.rows, manifest.flagged["shadow_duplicates"]) == (1, 0)


@pytest.mark.parametrize("lines", [LINES, ('B1,"2020',)], ids=["a good file", "an open quote"])
def test_cleaning_leaves_the_memory_pool_of_the_process_as_it_was(tmp_path: Path, lines: tuple[str, ...]) -> None:
    before = pa.default_memory_pool()
    own = pa.system_memory_pool()  # another one than cleaning chooses
    pa.set_memory_pool(own)
    try:
        with suppress(TaxiError):
            cleaned(tmp_path, *lines)
        assert pa.default_memory_pool().backend_name == own.backend_name
    finally:
        pa.set_memory_pool(before)
