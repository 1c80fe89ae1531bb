"""Raw files as blocks: formats, broken files, block borders, and that one bad value costs only its row."""

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxi_assets.cleaning import reading
from taxi_assets.cleaning.reading import Block, header_of, open_raw
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.errors import BadFileError, ContractError

FHV, YELLOW = DATASETS["fhv"], DATASETS["yellow"]
HEADER = b"Dispatching_base_num,Pickup_date,locationID\n"
NINE = datetime(2020, 4, 1, 9)


def written(folder: Path, data: bytes, name: str = "fhv_tripdata_2020-04.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def blocks_of(path: Path, dataset: Any = FHV) -> list[Block]:
    return [read() for read in open_raw(path, dataset).blocks()]


def only_block(folder: Path, body: bytes, header: bytes = HEADER) -> Block:
    [block] = blocks_of(written(folder, header + body))
    return block


def bases(block: Block) -> list[str | None]:
    return block.rows.column("dispatching_base_num").to_pylist()


def unreadable(block: Block) -> list[int]:
    return [] if block.unreadable is None else np.flatnonzero(block.unreadable).tolist()


def test_a_block_has_all_canonical_columns_but_the_month(tmp_path: Path) -> None:
    block = only_block(tmp_path, b"B1,2020-04-01 09:00:00,7\nB2,,\n")
    assert block.count == 2
    assert block.rows.schema.names == list(FHV.schema.names[:-1])
    assert block.rows.select(["dispatching_base_num", "pickup_datetime", "pickup_location_id"]).to_pylist() == [
        {"dispatching_base_num": "B1", "pickup_datetime": NINE, "pickup_location_id": 7},
        {"dispatching_base_num": "B2", "pickup_datetime": None, "pickup_location_id": None},
    ]
    assert block.rows.column("sr_flag").null_count == 2
    assert (unreadable(block), block.torn, block.numbers.tolist()) == ([], [], [0, 1])


def test_torn_lines_keep_their_place_and_their_text(tmp_path: Path) -> None:
    block = only_block(tmp_path, b"a,b\nB1,2020-04-01,7\na,b\n\nB2,2020-04-01,7\nB3,2020-04-01,7,8\nB4,2020-04-01\n")
    assert block.count == 6
    assert bases(block) == ["B1", "B2"]
    assert block.numbers.tolist() == [1, 3]
    assert block.torn == [(0, "a,b"), (2, "a,b"), (4, "B3,2020-04-01,7,8"), (5, "B4,2020-04-01")]
    assert block.original(np.array([1])) == ["B2,2020-04-01,7"]


@pytest.mark.parametrize("bad", [b"x", b"1.5", b"0x1F", b"9999999999", b"\xff", b"\0", b'"1', b"1\r2"])
def test_a_bad_value_costs_its_row_only(tmp_path: Path, bad: bytes) -> None:
    block = only_block(tmp_path, b"B1,2020-04-01 09:00:00,7\nB2,2020-04-01," + bad + b"\nB3,2020-04-01 09:00:00,8\n")
    rows = block.rows.select(["dispatching_base_num", "pickup_datetime", "pickup_location_id"]).to_pylist()
    rows = [list(row.values()) for row in rows if row["dispatching_base_num"] != "B2"]
    assert rows == [["B1", NINE, 7], ["B3", NINE, 8]]
    # A quote that is only opened reads as the rest of its line.
    rejected = len(unreadable(block)) + len(block.torn)
    assert (block.count, rejected) == (3, 0 if bad == b'"1' else 1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"7", 7),
        (b"0000000000007", 7),
        (b"2147483647", 2147483647),
        (b"-2147483648", -2147483648),
        (b"0x1F", None),
        (b"2147483648", None),
    ],
)
def test_a_value_means_the_same_beside_a_value_that_cannot_be_read(
    tmp_path: Path, value: bytes, expected: int | None
) -> None:
    line = b"B1,2020-04-01 09,%s\n" % value
    for other in (b"", b"B2,2020-04-01,x\n", b"B2,soon,7\n", b"B2\xff,2020-04-01,7\n"):
        block = only_block(tmp_path, line + other)
        assert block.rows.column("pickup_datetime")[0].as_py() == NINE
        assert block.rows.column("pickup_location_id")[0].as_py() == expected
        assert (0 in unreadable(block)) == (expected is None)


def test_a_quote_that_spans_lines_takes_no_row_with_it(tmp_path: Path) -> None:
    """By the quotes alone these are two rows of three fields; a lone carriage return makes up for the count."""
    block = only_block(tmp_path, b'B1,"2020\n04",7\nB2,2020-04-01 09:00:00,8\nB3\r,2020-04-01,9\n')
    assert block.count == 4
    assert bases(block) == ["B2"]
    assert [number for number, _ in block.torn] == [0, 1, 3]
    assert block.torn[2][1] == "B3\r,2020-04-01,9"


def test_originals_lose_no_byte(tmp_path: Path) -> None:
    block = only_block(tmp_path, b"B\xff1,2020-04-01,7\ntorn\xff\nB2,2020-04-01,8\n")
    assert unreadable(block) == [0]
    assert block.original(np.array([0])) == ["B\\xff1,2020-04-01,7"]
    assert block.torn == [(1, "torn\\xff")]


def test_fields_beyond_the_header_must_be_empty(tmp_path: Path) -> None:
    block = only_block(tmp_path, b"B1,2020-04-01,7,,\nB2,2020-04-01,7,,\nB3,2020-04-01,7,8,\nB4,2020-04-01,7\n")
    assert bases(block) == ["B1", "B2", "B3"]
    assert unreadable(block) == [2]
    assert block.torn == [(3, "B4,2020-04-01,7")]


def test_two_names_of_one_column_of_2018(tmp_path: Path) -> None:
    header = b'"Pickup_DateTime","Dispatching_base_number","Dispatching_base_num"\n'
    body = b'"2018-01-01","","B1"\n"2018-01-01","B2",""\n"2018-01-01","B3","B3"\n"2018-01-01","B4","B5"\n'
    block = only_block(tmp_path, body, header)
    assert bases(block)[:3] == ["B1", "B2", "B3"]
    # Which of them holds cannot be told.
    assert unreadable(block) == [3]


@pytest.mark.parametrize("size", [1, 5, 47, 48, 49, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_block_borders_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, end: bytes, last: bool
) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", size)
    lines = [b"B%d,2020-04-01,%d" % (i, i) for i in range(1, 30)]
    data = b"\n" + HEADER + b"\r\n" + end.join(lines) + (end if last else b"")
    blocks = blocks_of(written(tmp_path, data))
    assert sum(block.count for block in blocks) == 29
    assert [base for block in blocks for base in bases(block)] == [f"B{i}" for i in range(1, 30)]
    # What follows the last line end is a block of its own.
    assert (len(blocks) > 2) == (size < 100)


@pytest.mark.parametrize("data", [HEADER, HEADER.strip(), HEADER + b"\r\n\n"])
def test_a_header_alone_has_no_rows(tmp_path: Path, data: bytes) -> None:
    assert sum(block.count for block in blocks_of(written(tmp_path, data))) == 0


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_an_empty_file(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadFileError, match="empty"):
        open_raw(written(tmp_path, data), FHV)


def test_gzip_in_several_members(tmp_path: Path) -> None:
    data = gzip.compress(HEADER + b"B1,2020-04-01,7\nB2,2020-") + gzip.compress(b"04-01,8\n")
    path = written(tmp_path, data, "fhv_tripdata_2020-04.csv.gz")
    assert open_raw(path, FHV).layout.format == "csv.gz"
    assert [base for block in blocks_of(path) for base in bases(block)] == ["B1", "B2"]


@pytest.mark.parametrize("kind", ["cut", "flipped", "plain"])
def test_a_broken_gzip(tmp_path: Path, kind: str) -> None:
    rows = b"".join(b"B%d,2020-04-01,%d\n" % (i * 7919 % 100_003, i % 265) for i in range(60_000))
    data = bytearray(gzip.compress(HEADER + rows, mtime=0))
    damaged = {"cut": data[:-100], "flipped": data[:-8] + b"\0\0\0\0" + data[-4:], "plain": HEADER}[kind]
    path = written(tmp_path, bytes(damaged), "fhv_tripdata_2020-04.csv.gz")
    with pytest.raises(BadFileError, match=r"2020-04\.csv\.gz is a broken gzip file.*fetch it again"):
        blocks_of(path)


def test_a_missing_file_is_not_a_broken_one(tmp_path: Path) -> None:
    for name in ("fhv.csv", "fhv.csv.gz", "fhv.parquet"):
        with pytest.raises(FileNotFoundError):
            open_raw(tmp_path / name, FHV)


def parquet(folder: Path, columns: dict[str, Any], **options: Any) -> Path:
    path = folder / "fhv_tripdata_2020-04.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize("damage", ["no footer", "an error page", "a damaged page"])
def test_a_broken_parquet_file(tmp_path: Path, damage: str) -> None:
    path = parquet(tmp_path, {"pickup_datetime": [f"2020-04-01 09:00:{i % 60:02}" for i in range(5000)]})
    data = path.read_bytes()
    page = data[:4] + b"\xff" * 200 + data[204:]
    path.write_bytes({"no footer": data[:-50], "an error page": b"<html></html>", "a damaged page": page}[damage])
    with pytest.raises(BadFileError, match=r"2020-04\.parquet is (not a readable|damaged).*fetch it again"):
        blocks_of(path)


def test_parquet_times_as_int96(tmp_path: Path) -> None:
    far = datetime(2098, 1, 1)
    path = parquet(tmp_path, {"pickup_datetime": [NINE, far, None]}, use_deprecated_int96_timestamps=True)
    assert pq.ParquetFile(path).schema.column(0).physical_type == "INT96"
    [block] = blocks_of(path)
    assert block.rows.column("pickup_datetime").to_pylist() == [NINE, far, None]


def test_parquet_originals_are_all_the_published_values(tmp_path: Path) -> None:
    times = pa.array([2**62, 0], pa.int64()).cast(pa.timestamp("us"))
    path = parquet(tmp_path, {"Pickup_DateTime": times, "__index_level_0__": [5, 6], "PUlocationID": ["x", "7"]})
    [block] = blocks_of(path)
    assert unreadable(block) == [0]
    first, second = [json.loads(text) for text in block.original(np.array([0, 1]))]
    assert (first["__index_level_0__"], first["PUlocationID"]) == (5, "x")
    assert second["Pickup_DateTime"].startswith("1970-01-01 00:00:00")


def test_parquet_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BATCH_ROWS", 4)
    path = parquet(tmp_path, {"pickup_datetime": [NINE] * 10, "sr_flag": list(range(10))}, row_group_size=3)
    blocks = blocks_of(path)
    assert max(block.count for block in blocks) <= 4
    assert [flag for block in blocks for flag in block.rows.column("sr_flag").to_pylist()] == list(range(10))


def test_columns_of_another_dataset(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="Pickup_date"):
        open_raw(written(tmp_path, HEADER), YELLOW)
    with pytest.raises(ContractError, match="trip_distance"):
        open_raw(parquet(tmp_path, {"pickup_datetime": [NINE], "dropoff_datetime": [NINE]}), YELLOW)


def test_a_header_without_a_dataset(tmp_path: Path) -> None:
    assert header_of(written(tmp_path, b"\xef\xbb\xbf a, b \n1,2\n")) == (" a", " b ")
    assert header_of(parquet(tmp_path, {"x": [1], "Y": [2]})) == ("x", "Y")


def test_lines_that_end_in_carriage_returns_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "fhv_tripdata_2020-04.csv"
    path.write_bytes(b"dispatching_base_num,pickup_datetime\rB1,2020-04-01 09:00:00\r")
    with pytest.raises(BadFileError, match="carriage returns alone"):
        list(reading.open_raw(path, DATASETS["fhv"]).blocks())


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", 100)
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1000)
    path = tmp_path / "fhv_tripdata_2020-04.csv"
    path.write_bytes(b"dispatching_base_num,pickup_datetime\n" + b"B" * 5000)
    with pytest.raises(BadFileError, match="no line end"):
        list(reading.open_raw(path, DATASETS["fhv"]).blocks())
