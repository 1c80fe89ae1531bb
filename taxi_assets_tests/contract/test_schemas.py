"""The canonical schemas: what must hold for all of them, and the names that users rely on."""

import re
from collections import Counter

import pyarrow as pa
import pytest

from taxi_assets.cleaning.layout import normalize
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.schemas import BIGQUERY_TYPES, FHVHV, GREEN, INTEGER, POSTGRES_TYPES, TEXT, YELLOW, Schema

SCHEMAS = pytest.mark.parametrize("schema", [d.schema for d in DATASETS.values()], ids=list(DATASETS))


@SCHEMAS
def test_names_are_unique_and_the_partition_is_last(schema: Schema) -> None:
    assert len(set(schema.names)) == len(schema.names)
    assert schema.names[-1] == "source_month"
    assert "source_month" not in {column.name for column in schema.published}


@SCHEMAS
def test_a_published_name_means_one_column(schema: Schema) -> None:
    names = Counter(name for column in schema.published for name in (column.name, *column.aliases))
    assert [name for name, count in names.items() if count > 1] == []
    assert all(normalize(name) == name for name in names)
    assert set(schema.aliases) == set(names)


@SCHEMAS
def test_arrow_schema(schema: Schema) -> None:
    assert schema.arrow.names == list(schema.names)
    assert [field.name for field in schema.arrow if not field.nullable] == ["source_month"]
    for column, field in zip(schema.columns, schema.arrow, strict=True):
        assert field.type == column.type
        assert field.metadata == {b"description": column.description.encode()}
        # Nanoseconds cannot hold the years that the files hold.
        assert not pa.types.is_timestamp(field.type) or field.type == pa.timestamp("us")


@SCHEMAS
def test_every_type_has_a_name_in_both_warehouses(schema: Schema) -> None:
    for column in schema.columns:
        assert column.type in POSTGRES_TYPES
        assert column.type in BIGQUERY_TYPES


@SCHEMAS
def test_codes_have_their_columns_type_and_are_found_in_lower_case(schema: Schema) -> None:
    for column in schema.columns:
        for text, code in column.codes.items():
            assert text == text.strip().lower()
            assert isinstance(code, {INTEGER: int, TEXT: str}[column.type])


def test_a_column_by_name() -> None:
    assert YELLOW.column("fare_amount").aliases == ("fare_amt",)
    with pytest.raises(KeyError):
        YELLOW.column("fare_amt")


def test_yellow_names_and_order() -> None:
    assert YELLOW.names == (
        *("vendor_id", "pickup_datetime", "dropoff_datetime", "passenger_count", "trip_distance", "rate_code"),
        *("store_and_fwd_flag", "pickup_location_id", "dropoff_location_id"),
        *("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude", "payment_type"),
        *("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "improvement_surcharge", "total_amount"),
        *("congestion_surcharge", "airport_fee", "cbd_congestion_fee", "source_month"),
    )


def test_green_differs_from_yellow_in_three_columns_only() -> None:
    assert set(GREEN.names) - set(YELLOW.names) == {"ehail_fee", "trip_type"}
    assert set(YELLOW.names) - set(GREEN.names) == {"airport_fee"}
    for name in set(GREEN.names) & set(YELLOW.names):
        assert GREEN.column(name).type == YELLOW.column(name).type


def test_fhvhv_has_all_24_columns_of_tlc_and_the_new_fee() -> None:
    published = (
        *("hvfhs_license_num", "dispatching_base_num", "originating_base_num", "request_datetime"),
        *("on_scene_datetime", "pickup_datetime", "dropoff_datetime", "PULocationID", "DOLocationID", "trip_miles"),
        *("trip_time", "base_passenger_fare", "tolls", "bcf", "sales_tax", "congestion_surcharge", "airport_fee"),
        *("tips", "driver_pay", "shared_request_flag", "shared_match_flag", "access_a_ride_flag"),
        *("wav_request_flag", "wav_match_flag", "cbd_congestion_fee"),
    )
    assert [FHVHV.aliases[name.lower()].name for name in published] == list(FHVHV.names[:25])


def test_money_is_what_is_in_dollars() -> None:
    assert GREEN.money == (
        *("fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount", "ehail_fee", "improvement_surcharge"),
        *("total_amount", "congestion_surcharge", "cbd_congestion_fee"),
    )
    assert "trip_miles" not in FHVHV.money
    assert "driver_pay" in FHVHV.money


def test_names_are_plain_identifiers_for_what_cannot_compose_them() -> None:
    """BigQuery's statements are built around them, which no driver quotes."""
    names = [*DATASETS, *(name for dataset in DATASETS.values() for name in dataset.schema.names)]
    assert [name for name in names if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name)] == []
