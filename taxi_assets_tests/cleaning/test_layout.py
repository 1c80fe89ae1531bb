"""Published names to canonical columns, whatever the header looks like."""

import pytest

from taxi_assets.cleaning.layout import csv_layout, guess_dataset, map_columns, normalize, split_line
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.errors import BadFileError, ContractError

FHV = DATASETS["fhv"]


@pytest.mark.parametrize("name", ["Trip_type ", " trip_type", "TRIP_TYPE", '"trip_type"', ' " Trip_Type" '])
def test_case_spaces_and_quotes_do_not_matter(name: str) -> None:
    assert normalize(name) == "trip_type"


def test_columns_are_mapped_by_name_in_any_order() -> None:
    columns = map_columns(FHV, ["DOlocationID", "__index_level_0__", " Pickup_DateTime", "SR_Flag "])
    found = [column and column.name for column in columns]
    assert found == ["dropoff_location_id", None, "pickup_datetime", "sr_flag"]


def test_an_unknown_column_is_named_and_the_place_to_add_it() -> None:
    with pytest.raises(ContractError, match=r"'Tip_Surprise'.*fhv.*taxi_assets/contract/schemas\.py"):
        map_columns(FHV, ["pickup_datetime", "Tip_Surprise"])


def test_a_missing_required_column_is_named() -> None:
    with pytest.raises(ContractError, match=r"lacks the column 'pickup_datetime'.*taxi_assets/contract/schemas\.py"):
        map_columns(FHV, ["dispatching_base_num", "SR_Flag"])


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(ContractError, match=r"' SR_FLAG' more than once|'sr_flag' more than once"):
        map_columns(FHV, ["pickup_datetime", "sr_flag", " SR_FLAG"])


def test_two_names_of_a_column_feed_it_in_the_order_of_the_contract() -> None:
    layout = csv_layout(FHV, "csv", b"Dispatching_base_number,Pickup_DateTime,Dispatching_base_num\n")
    assert layout.sources(FHV.schema.column("dispatching_base_num")) == [2, 0]
    assert layout.sources(FHV.schema.column("sr_flag")) == []


@pytest.mark.parametrize(
    ("head", "fields"),
    [
        (b"pickup_datetime,sr_flag\n1,2\n3,4\n", 2),
        (b"\xef\xbb\xbfpickup_datetime,sr_flag\r\n\r\n1,2,,\r\n3,4,,\r\n5,6,,\r\n", 4),
        (b"\n\npickup_datetime,sr_flag,,\n1,2\n3,4\n", 2),
        (b'"pickup_datetime","sr_flag"\n"1","2"\n', 2),
        (b"pickup_datetime,sr_flag", 2),
        # The cut last line does not count, nor does an unbalanced quote reach beyond its line.
        (b'pickup_datetime,sr_flag\n"1,2,,\n3,4,,\n5,6,,\n7', 4),
        (b"pickup_datetime,sr_flag\n1\n2\n3\n", 2),
    ],
)
def test_fields_are_those_of_most_rows(head: bytes, fields: int) -> None:
    layout = csv_layout(FHV, "csv", head)
    assert layout.header == ("pickup_datetime", "sr_flag")
    assert layout.fields == fields


@pytest.mark.parametrize("head", [b"", b"\n\r\n  \n"])
def test_no_header(head: bytes) -> None:
    with pytest.raises(BadFileError, match="empty"):
        csv_layout(FHV, "csv", head)


def test_an_error_page_is_refused_by_its_first_line() -> None:
    with pytest.raises(ContractError, match="<!DOCTYPE html>"):
        csv_layout(FHV, "csv", b"<!DOCTYPE html>\n<html><body>Access denied</body></html>\n")


def test_fields_of_a_line() -> None:
    assert split_line('a,"b,c","d""e",') == ["a", "b,c", 'd"e', ""]
    assert split_line("a\rb,c") == []
    assert split_line(f"a,{'x' * 200_000}") == []


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("VendorID,tpep_pickup_datetime,tpep_dropoff_datetime,trip_distance", "yellow"),
        ("VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Trip_distance,Trip_type ", "green"),
        ("Dispatching_base_num,Pickup_date,locationID", "fhv"),
        ("hvfhs_license_num,pickup_datetime,dropoff_datetime", "fhvhv"),
        # Yellow's names of 2010 could be green's.
        ("vendor_id,pickup_datetime,dropoff_datetime,trip_distance", None),
        ("a,b", None),
    ],
)
def test_the_dataset_is_guessed_when_only_one_fits(header: str, name: str | None) -> None:
    guessed = guess_dataset(header.split(","))
    assert (guessed and guessed.name) == name
