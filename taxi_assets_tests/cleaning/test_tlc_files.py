"""Every real file of TLC's under ../shared/tlc goes through, with the numbers that other means counted in it."""

import csv
import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
import pytest

from taxi_assets.cleaning.clean_file import clean_file
from taxi_assets.cleaning.layout import map_columns
from taxi_assets.cleaning.reading import header_of
from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.rules import UNREADABLE
from taxi_assets.defs.checks import published_rows
from taxi_assets.months import month_text, next_month, parse_month

# Rows whose dropoff stands before the pickup, but which ended after it: DRIFT.md says of which kinds.
EXCUSED = {
    "green_tripdata_2020-04.parquet": 12,
    "green_tripdata_2025-03.parquet": 308,
    "green_tripdata_2025-11.parquet": 2,
}
NAME = re.compile(r"(yellow|green|fhv|fhvhv)_tripdata_(\d{4}-\d{2})\.")


@dataclass
class Cleaned:
    """A raw file and what became of it."""

    raw: Path
    dataset: Dataset
    month: date
    kept: Path
    rejected: Path
    manifest: Manifest


Cleaner = Callable[..., Cleaned]


@pytest.fixture(scope="module")
def clean(tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> Cleaner:
    """Clean a file once; with `all_rules=False`, reject only what cannot be read."""
    done: dict[tuple[Path, bool], Cleaned] = {}

    def clean(raw: Path, all_rules: bool = True) -> Cleaned:
        if (raw, all_rules) not in done:
            dataset, month = dataset_and_month(raw.name)
            off = [] if all_rules else [name for name in dataset.rule_names if name != UNREADABLE]
            made = clean_file(raw, dataset, month, tmp_path_factory.mktemp("clean"), rules_off=off)
            done[raw, all_rules] = Cleaned(raw, dataset, month, *made)
        return done[raw, all_rules]

    return clean


def dataset_and_month(name: str) -> tuple[Dataset, date]:
    match = NAME.match(name)
    assert match, name
    return DATASETS[match[1]], parse_month(match[2])


def files(tlc: Path, *folders: str) -> list[Path]:
    found = sorted(path for folder in folders for path in (tlc / folder).iterdir())
    assert found
    return found


def csv_rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows of a CSV by normalized name, blank lines left out, however many fields they have."""
    data = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    lines = csv.reader(line for line in data.decode().splitlines() if line.strip())
    names = [name.strip().lower() for name in next(lines)]
    for fields in lines:
        yield dict(zip(names, fields, strict=False))


def pickups(path: Path) -> list[str]:
    """Pickup times as text, read without the code under test."""
    if path.name.endswith(".parquet"):
        [name] = [name for name in pq.read_schema(path).names if "pickup_datetime" in name]
        times = pq.read_table(path, columns=[name]).column(name)
        return pc.strftime(times.cast(pa.timestamp("s"), safe=False), "%Y-%m-%d %H:%M:%S").to_pylist()
    # A torn line may end before it.
    found = ([value for name, value in row.items() if "pickup_date" in name] for row in csv_rows(path))
    return [values[0].replace("T", " ") if values else "" for values in found]


def drift(tlc: Path) -> dict[str, dict[str, str]]:
    """DRIFT.md's table of dirt by file name."""
    rows = [line.strip("| \n").split("|") for line in (tlc / "DRIFT.md").read_text().splitlines() if "|" in line]
    cells = [[cell.strip() for cell in row] for row in rows]
    [header] = [row for row in cells if row[:2] == ["file", "rows"]]
    return {row[0]: dict(zip(header, row, strict=True)) for row in cells if NAME.match(row[0])}


def counted(tlc: Path, *folders: str) -> list[tuple[Path, dict[str, str]]]:
    """Return the files that DRIFT.md counts, with their figures; a file added later may have none."""
    known = drift(tlc)
    found = [(raw, known[raw.name]) for raw in files(tlc, *folders) if raw.name in known]
    assert len(found) >= len(files(tlc, *folders)) - 1
    return found


def test_every_head_has_one_torn_row_and_the_canonical_schema(tlc: Path, clean: Cleaner, subtests) -> None:
    heads = files(tlc, "heads")
    assert len(heads) == 38
    for raw in heads:
        with subtests.test(raw.name):
            head = clean(raw)
            expected = pickups(raw)
            assert pq.read_schema(head.kept).equals(head.dataset.schema.arrow)
            assert head.manifest.raw_rows == len(expected)
            assert head.manifest.rejected[UNREADABLE] == 1
            rejects = pq.read_table(head.rejected).to_pylist()
            [torn] = [row for row in rejects if row["reason"] == UNREADABLE]
            assert torn["row_number"] == len(expected)
            last = raw.read_bytes().decode().splitlines()[-1]
            assert torn["original"] == last
            # With the rules off all other rows are there, each with its own pickup time.
            times = pq.read_table(clean(raw, all_rules=False).kept).column("pickup_datetime")
            assert [str(time) for time in times.to_pylist()] == [text.strip() for text in expected[:-1]]


def test_amounts_and_places_of_heads_are_in_their_columns(tlc: Path, clean: Cleaner, subtests) -> None:
    names = {
        "total_amount": ("total_amount", "total_amt"),
        "fare_amount": ("fare_amount", "fare_amt"),
        "pickup_location_id": ("pulocationid", "locationid"),
        "dropoff_location_id": ("dolocationid",),
        "pickup_latitude": ("pickup_latitude", "start_lat"),
        "dropoff_longitude": ("dropoff_longitude", "end_lon"),
        "dispatching_base_num": ("dispatching_base_num", "dispatching_base_number"),
    }
    compared = 0
    for raw in files(tlc, "heads"):
        with subtests.test(raw.name):
            kept = pq.read_table(clean(raw, all_rules=False).kept)
            rows = list(csv_rows(raw))[:-1]
            for column in set(names) & set(kept.column_names):
                for row, value in zip(rows, kept.column(column).to_pylist(), strict=True):
                    texts = [row[name] for name in names[column] if row.get(name)]
                    assert value == (type(value)(texts[0]) if texts else None), column
                    compared += value is not None
    assert compared > 900


def test_every_sample_and_month_conserves_its_rows(tlc: Path, clean: Cleaner, subtests) -> None:
    for raw, figures in counted(tlc, "samples", "trips"):
        with subtests.test(raw.name):
            month = clean(raw)
            written = [pq.read_metadata(path).num_rows for path in (month.kept, month.rejected)]
            assert sum(written) == month.manifest.raw_rows
            assert written == [month.manifest.kept.rows, month.manifest.rejected_rows]
            assert month.manifest.raw_rows == int(figures["rows"].replace(",", ""))
            numbers = pq.read_table(month.rejected).column("row_number").to_pylist()
            assert len(set(numbers)) == len(numbers)
            assert not numbers or (min(numbers) >= 1 and max(numbers) <= month.manifest.raw_rows)


def test_reasons_agree_with_the_figures_in_drift(tlc: Path, clean: Cleaner, subtests) -> None:
    for raw, figures in counted(tlc, "samples", "trips"):
        with subtests.test(raw.name):
            manifest = clean(raw).manifest
            assert manifest.rejected["dropoff_before_pickup"] == int(figures["d<p"]) - EXCUSED.get(raw.name, 0)
            if figures["pax 0"] != "-":
                assert manifest.rejected["no_passengers"] == int(figures["pax 0"])
            assert manifest.rejected[UNREADABLE] == (raw.name == "yellow_tripdata_2021-01.head.csv")
            # Only the sample of 2025 has duplicates, from the sampling.
            assert manifest.rejected["duplicate_row"] == 21 * raw.name.startswith("yellow_tripdata_2025-01")
            assert manifest.rejected["missing_times"] == manifest.rejected["unknown_zone"] == 0
            if figures["dist>100"] != "-":
                assert manifest.flagged["implausible_distance"] == int(figures["dist>100"])


def test_times_that_only_seem_to_run_backward(tlc: Path, clean: Cleaner) -> None:
    march, november, april = (
        clean(tlc / "trips" / f"green_tripdata_{month}.parquet").manifest for month in ("2025-03", "2025-11", "2020-04")
    )
    assert (march.flagged["minute_is_the_month"], march.rejected["dropoff_before_pickup"]) == (1222, 0)
    assert april.flagged["minute_is_the_month"] == 32
    # By then the vendor's minutes are minutes, some of them eleven.
    assert (november.flagged["minute_is_the_month"], november.flagged["end_of_daylight_saving"]) == (0, 2)
    assert november.rejected["dropoff_before_pickup"] == 1


def test_shadow_rows_agree_with_drift_before_any_row_is_rejected(tlc: Path, clean: Cleaner, subtests) -> None:
    for raw, figures in counted(tlc, "trips"):
        with subtests.test(raw.name):
            assert clean(raw, all_rules=False).manifest.flagged["shadow_duplicates"] == int(figures["shadow"])


def test_pickups_outside_the_month_as_counted_in_the_raw_file(tlc: Path, clean: Cleaner, subtests) -> None:
    day, total = timedelta(days=1), 0
    for raw, figures in counted(tlc, "samples", "trips"):
        with subtests.test(raw.name):
            month = clean(raw)
            first, end = str(month.month - day), str(next_month(month.month) + day)
            # The torn line's is cut.
            texts = [text[:19] for text in pickups(raw) if len(text) >= 19]
            outside = sum(not first <= text < end for text in texts)
            assert month.manifest.rejected["pickup_outside_month"] == outside
            total += outside
            known = int(figures["out"])
            assert outside <= known == sum(text[:7] != month_text(month.month) for text in texts)
    assert total > 20


def test_csv_and_parquet_of_a_month_agree(tlc: Path, clean: Cleaner) -> None:
    """But for the 32 rows of vendor 6 that only the Parquet has, and the vendor ids that the CSV leaves empty."""
    from_csv, from_parquet = (
        pq.read_table(clean(tlc / "trips" / f"green_tripdata_2020-04.{ending}", all_rules=False).kept)
        for ending in ("csv.gz", "parquet")
    )
    assert (from_csv.num_rows, from_parquet.num_rows) == (35_612, 35_644)
    assert from_parquet.filter(pc.field("vendor_id") == 6).num_rows == 32
    shared = from_parquet.filter(pc.field("vendor_id") != 6)
    assert shared.num_rows == 35_612
    others = [name for name in from_csv.column_names if name != "vendor_id"]
    order = [(name, "ascending") for name in others]
    assert from_csv.select(others).sort_by(order) == shared.select(others).sort_by(order)
    mine, theirs = (table.sort_by(order).column("vendor_id").to_pylist() for table in (from_csv, shared))
    assert [t for m, t in zip(mine, theirs, strict=True) if m is not None and m != t] == []
    assert from_csv.column("vendor_id").null_count == 11_110


def test_months_of_all_eras_are_one_dataset(tlc: Path, clean: Cleaner) -> None:
    for dataset in DATASETS.values():
        months = [clean(raw) for raw in files(tlc, "heads", "samples", "trips")]
        kept = [month for month in months if month.dataset == dataset]
        assert len({month.month for month in kept}) > 2
        table = pa_dataset.dataset([str(month.kept) for month in kept], format="parquet").to_table()
        assert table.schema.equals(dataset.schema.arrow)
        assert table.num_rows == sum(month.manifest.kept.rows for month in kept)
        assert set(table.column("source_month").unique().to_pylist()) == {month.month for month in kept}


def test_two_eras_in_one_query(tlc: Path, clean: Cleaner) -> None:
    old, new = (
        clean(tlc / "samples" / name)
        for name in ("yellow_tripdata_2009-01.head.csv", "yellow_tripdata_2025-01.sample500.parquet")
    )
    table = pa_dataset.dataset([str(old.kept), str(new.kept)], format="parquet").to_table()
    sums = table.group_by("source_month").aggregate(
        [([], "count_all"), ("total_amount", "sum"), ("cbd_congestion_fee", "count"), ("pickup_longitude", "count")]
    )
    rows = {row["source_month"]: row for row in sums.to_pylist()}
    assert rows[old.month]["count_all"] == old.manifest.kept.rows == rows[old.month]["pickup_longitude_count"]
    assert rows[new.month]["count_all"] == new.manifest.kept.rows
    assert (rows[old.month]["cbd_congestion_fee_count"], rows[new.month]["pickup_longitude_count"]) == (0, 0)
    for month in (old, new):
        cents = month.manifest.kept.cents["total_amount"]
        assert round(rows[month.month]["total_amount_sum"] * 100) == cents


def published(tlc: Path) -> list[tuple[Dataset, date, list[str], int]]:
    with (tlc / "published_files.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(*dataset_and_month(row["file_name"]), row["columns"].split(","), int(row["rows"])) for row in rows]


def test_the_columns_of_all_published_files_map(tlc: Path) -> None:
    every = published(tlc)
    assert len(every) == 487
    for dataset, month, header, _ in every:
        dataset.check_month(month)
        columns = map_columns(dataset, header)
        ignored = [name for name, column in zip(header, columns, strict=True) if column is None]
        assert ignored in ([], ["__index_level_0__"])


def test_row_counts_to_compare_with_are_those_published(tlc: Path) -> None:
    counts = {(dataset.name, month_text(month)): rows for dataset, month, _, rows in published(tlc)}
    assert published_rows() == counts


def test_a_column_is_in_no_file_before_or_after_its_bounds(tlc: Path) -> None:
    headers = [(dataset, month, header) for dataset, month, header, _ in published(tlc)]
    headers += [(*dataset_and_month(p.name), list(header_of(p))) for p in files(tlc, "heads", "samples", "trips")]
    bounded = 0
    for dataset, month, header in headers:
        for column in map_columns(dataset, header):
            if column is not None:
                assert column.since is None or month_text(month) >= column.since, (dataset.name, month, column.name)
                assert column.until is None or month_text(month) <= column.until, (dataset.name, month, column.name)
                bounded += column.since is not None or column.until is not None
    assert bounded > 100
