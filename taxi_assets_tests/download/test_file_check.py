"""A file is taken for what it is: every torn, empty or foreign file is refused in one sentence, good ones pass."""

import gzip
import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taxi_assets.download import size_limits
from taxi_assets.download.file_check import check_file, name_by_content
from taxi_assets.errors import BadFileError

_RANDOM = random.Random(7)
CSV = b"VendorID,fare_amount\n" + b"".join(b"%d,%d\n" % (n, _RANDOM.randrange(10**6)) for n in range(3000))
GZIP = gzip.compress(CSV)


def parquet_bytes(rows: int = 3000, row_group_size: int = 500) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"vendor": list(range(rows)), "fare": [_RANDOM.random() for _ in range(rows)]})
    pq.write_table(table, sink, row_group_size=row_group_size)
    return sink.getvalue()


PARQUET = parquet_bytes()
FOOTER = int.from_bytes(PARQUET[-8:-4], "little") + 8


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.csv", CSV, "csv"),
        ("a.csv", b"\xef\xbb\xbfa,b\r\n", "csv"),
        ("a.csv", b"\r\n\r\na,b\n", "csv"),
        ("a.csv", b'"Dispatching_base_num","Pickup_date"\n', "csv"),
        ("a.csv", b"a,b", "csv"),
        ("a.csv.gz", GZIP, "csv.gz"),
        ("a.csv.gz", gzip.compress(b"a,b\n") + gzip.compress(b"1,2\n"), "csv.gz"),
        ("a.csv.gz", GZIP + b"\0" * 512, "csv.gz"),
        ("a.parquet", PARQUET, "parquet"),
        ("a.parquet", parquet_bytes(0), "parquet"),
    ],
)
def test_good_files_pass(tmp_path: Path, name: str, data: bytes, expected: str) -> None:
    assert check_file(written(tmp_path, name, data)) == expected


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", b"", "is empty"),
        ("a.parquet", b"", "is empty"),
        ("a.csv", b"\n\n<!DOCTYPE html><html><title>Not\n here</title>", "an HTML or XML page ('Not here')"),
        ("a.csv.gz", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "AccessDenied"),
        ("a.parquet", b"<html><body>\x01\x02 moved", "<html><body> moved"),
        ("a.csv", b'{"error": "quota", "code": 1}', "a JSON answer"),
        ("a.csv", b"only one column\n1\n", "a first line without a comma, 'only one column'"),
        ("a.csv", b"a,b\n\0\0\0", "binary data"),
        ("a.csv", b"\n\n\n", "only empty lines"),
        ("a.csv", PARQUET, "a Parquet file"),
        ("a.csv.gz", PARQUET, "a Parquet file"),
        ("a.csv.gz", GZIP[:-1], "a torn gzip"),
        ("a.csv.gz", GZIP + b"rubbish", "gzip"),
        ("a.csv.gz", GZIP[:-8] + b"0000" + GZIP[-4:], "a damaged gzip"),
        ("a.csv.gz", GZIP[:-4] + b"0000", "a damaged gzip"),
        ("a.csv.gz", gzip.compress(b""), "a gzip of nothing"),
        ("a.csv.gz", gzip.compress(b"<html>no</html>"), "an HTML or XML page"),
        ("a.csv.gz", gzip.compress(PARQUET), "a Parquet file in its gzip"),
        ("a.csv.gz", gzip.compress(b"no header\n"), "without a comma"),
        ("a.parquet", CSV, "not Parquet"),
        ("a.parquet", GZIP, "a gzip"),
        ("a.parquet", b"PAR1", "footer"),
        ("a.parquet", b"PAR1" + b"x" * 40 + b"\xff\xff\xff\x7fPAR1", "footer cannot be read"),
        ("a.parquet", PARQUET[:-FOOTER] + b"\xff" * (FOOTER - 8) + PARQUET[-8:], "footer cannot be read"),
        ("a.parquet", PARQUET[:100] + PARQUET[600:], "a piece missing"),
        ("a.zip", b"PK", "does not end in"),
    ],
)
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    with pytest.raises(BadFileError) as caught:
        check_file(written(tmp_path, name, data))
    message = str(caught.value)
    assert says in message
    assert message.startswith(name)
    assert message.endswith(".")
    assert len(message) < 400
    assert message.isprintable()


@pytest.mark.parametrize(("name", "data", "found"), [("a.csv", GZIP, "csv.gz"), ("a.csv.gz", CSV, "csv")])
def test_a_csv_is_packed_or_not_by_its_content(tmp_path: Path, name: str, data: bytes, found: str) -> None:
    assert check_file(written(tmp_path, name, data)) == found
    assert name_by_content(name, found) == f"a.{found}"


def test_the_published_name_counts_not_the_part_files(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv.gz.part", GZIP)
    assert check_file(path, "a.csv.gz") == "csv.gz"
    with pytest.raises(BadFileError, match=r"^a\.parquet is a gzip"):
        check_file(path, "a.parquet")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(GZIP) - 1))
def test_any_truncation_of_a_gzip_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(BadFileError):
        check_file(written(tmp_path, "a.csv.gz", GZIP[:cut]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, len(PARQUET) - 1))
def test_any_truncation_of_a_parquet_file_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(BadFileError):
        check_file(written(tmp_path, "a.parquet", PARQUET[:cut]))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(20, len(GZIP) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_in_a_gzip_is_refused(tmp_path: Path, at: int, bit: int) -> None:
    data = bytearray(GZIP)
    data[at] ^= 1 << bit
    with pytest.raises(BadFileError):
        check_file(written(tmp_path, "a.csv.gz", bytes(data)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), name=st.sampled_from(["a.csv", "a.csv.gz", "a.parquet"]))
def test_any_bytes_pass_or_are_refused_and_nothing_else(tmp_path: Path, data: bytes, name: str) -> None:
    path, error = written(tmp_path, name, data), None
    try:
        found = check_file(path)
    except BadFileError as refusal:
        error = str(refusal)
    # Of a CSV and its gzip, the bytes count and not the name.
    alike = {"csv", "csv.gz"} if ".csv" in name else {"parquet"}
    assert error.isprintable() if error is not None else found in alike


def test_a_gzip_bomb_is_stopped(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * (20 << 20)))
    assert path.stat().st_size < 200_000
    with pytest.raises(BadFileError, match=r"a gzip of [0-9]+ bytes that unzips to over 67108864, more than any month"):
        check_file(path)


def test_a_gzip_larger_than_any_month_is_refused_however_well_it_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert size_limits.MAX_UNPACKED_BYTES == 16 << 30
    monkeypatch.setattr(size_limits, "MAX_UNPACKED_BYTES", 3 << 20)
    path = written(tmp_path, "a.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * (1 << 20)))
    with pytest.raises(BadFileError, match="unzips to over 3145728, more than any month holds"):
        check_file(path)


def parquet_of(folder: Path, table: pa.Table) -> Path:
    pq.write_table(table, folder / "a.parquet")
    return folder / "a.parquet"


def test_a_parquet_bomb_of_rows_is_refused_by_its_footer(tmp_path: Path) -> None:
    group = pa.table({"a": pa.nulls(1 << 24, pa.int64())})
    with pq.ParquetWriter(tmp_path / "a.parquet", group.schema) as writer:
        for _ in range(16):
            writer.write_table(group)
    assert (tmp_path / "a.parquet").stat().st_size < 600_000
    with pytest.raises(BadFileError, match="a Parquet file that has 268435456 rows, more than any month holds"):
        check_file(tmp_path / "a.parquet")


def test_a_parquet_bomb_of_one_long_text_is_refused(tmp_path: Path) -> None:
    many = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * (1 << 20)]))
    path = parquet_of(tmp_path, pa.table({"flag": many}))
    # As rows it would be 100 GB.
    assert path.stat().st_size < 200_000
    with pytest.raises(BadFileError, match="has a text of 1048576 bytes, more than any month holds"):
        check_file(path)


@pytest.mark.parametrize(
    ("bound", "says"),
    [
        ("MAX_COLUMN_CHUNK_BYTES", "unpacks id to [0-9]+ bytes at once"),
        ("MAX_UNPACKED_BYTES", "unpacks to [0-9]+ bytes"),
        ("MAX_FOOTER_BYTES", "a footer of [0-9]+ bytes where at most 100"),
    ],
)
def test_parquet_is_bounded_by_what_its_footer_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, says: str
) -> None:
    path = parquet_of(tmp_path, pa.table({"id": pa.array(range(1000))}))
    assert check_file(path) == "parquet"
    monkeypatch.setattr(size_limits, bound, 100)
    with pytest.raises(BadFileError, match=says):
        check_file(path)
