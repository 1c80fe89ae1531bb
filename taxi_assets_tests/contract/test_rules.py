"""Each rule and flag by itself, at its borders, and the order in which they are tried."""

from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.rules import Rows, microseconds
from taxi_assets.contract.schemas import INTEGER, NUMBER, TIME

APRIL = date(2020, 4, 1)
TYPES = {"pickup_datetime": TIME, "dropoff_datetime": TIME, "trip_distance": NUMBER, "trip_miles": NUMBER}


def found(dataset: str, name: str, month: date = APRIL, **columns: list[Any]) -> list[bool]:
    """Which rows the rule or flag finds."""
    arrays = {column: pa.array(values, TYPES.get(column, INTEGER)) for column, values in columns.items()}
    every = (*DATASETS[dataset].rules, *DATASETS[dataset].quality_flags)
    mask = {rule.name: rule for rule in every}[name].find(Rows(pa.record_batch(arrays)), month)
    return [False] * len(next(iter(columns.values()))) if mask is None else mask.tolist()


def test_order() -> None:
    order = ["unreadable_row", "missing_times", "pickup_outside_month", "dropoff_before_pickup", "unknown_zone"]
    assert DATASETS["fhv"].rule_names == DATASETS["fhvhv"].rule_names == (*order, "duplicate_row")
    metered = (*order[:4], "no_passengers", "unknown_zone", "duplicate_row")
    assert DATASETS["yellow"].rule_names == DATASETS["green"].rule_names == metered


def test_every_rule_and_doubt_is_described_once() -> None:
    for dataset in DATASETS.values():
        names = [rule.name for rule in (*dataset.rules, *dataset.quality_flags)]
        assert len(set(names)) == len(names)
        assert all(rule.description.endswith(".") for rule in (*dataset.rules, *dataset.quality_flags))


def test_missing_times() -> None:
    nine = datetime(2020, 4, 1, 9)
    times = {"pickup_datetime": [nine, None, nine, None], "dropoff_datetime": [nine, nine, None, None]}
    assert found("yellow", "missing_times", **times) == [False, True, True, True]
    assert found("fhvhv", "missing_times", **times) == [False, True, True, True]
    # Bases need not report when a trip ended.
    assert found("fhv", "missing_times", **times) == [False, True, False, True]


@pytest.mark.parametrize(
    ("month", "inside", "outside"),
    [
        (date(2020, 4, 1), ["2020-03-31T00:00:00", "2020-05-01T23:59:59.999999"], ["2020-03-30T23:59:59.999999"]),
        (date(2020, 12, 1), ["2020-11-30T00:00:00", "2021-01-01T23:59:59"], ["2021-01-02T00:00:00"]),
        (date(2024, 2, 1), ["2024-01-31T00:00:00", "2024-03-01T23:59:59"], ["2024-03-02T00:00:00", "2009-01-01"]),
        (date(2020, 9, 1), ["2020-09-30"], ["2041-08-17T16:24:38", "0001-01-01", "9999-12-31"]),
    ],
)
def test_pickup_outside_month_with_a_day_of_grace(month: date, inside: list[str], outside: list[str]) -> None:
    times = [datetime.fromisoformat(text) for text in (*inside, *outside)]
    expected = [False] * len(inside) + [True] * len(outside) + [False]
    assert found("green", "pickup_outside_month", month, pickup_datetime=[*times, None]) == expected


def test_dropoff_before_pickup() -> None:
    nine, ten = datetime(2020, 4, 1, 9), datetime(2020, 4, 1, 10)
    pickups, dropoffs = [nine, nine, ten, None, ten, None], [ten, nine, nine, nine, None, None]
    for dataset in DATASETS:
        assert found(dataset, "dropoff_before_pickup", pickup_datetime=pickups, dropoff_datetime=dropoffs) == [
            *(False, False, True),
            *(False, False, False),
        ]


def test_no_passengers() -> None:
    assert found("yellow", "no_passengers", passenger_count=[0, 1, None, -1, 9]) == [True, False, False, False, False]
    assert found("yellow", "no_passengers", passenger_count=[None, None]) == [False, False]


def test_unknown_zone_at_either_end() -> None:
    zones = {"pickup_location_id": [1, 265, 0, 7, 266, None], "dropoff_location_id": [265, 1, 7, -1, None, None]}
    assert found("fhv", "unknown_zone", **zones) == [False, False, True, True, True, False]
    only = {"pickup_location_id": [None, None], "dropoff_location_id": [300, 264]}
    assert found("fhv", "unknown_zone", **only) == [True, False]


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_columns_that_a_file_has_not_break_no_rule(dataset: str) -> None:
    nine = datetime(2020, 4, 1, 9)
    published = DATASETS[dataset].schema.published
    row = pa.record_batch([pa.nulls(1, c.type) for c in published], [c.name for c in published]).to_pylist()[0]
    rows = pa.RecordBatch.from_pylist(
        [row | {"pickup_datetime": nine, "dropoff_datetime": nine}], pa.schema([(c.name, c.type) for c in published])
    )
    for rule in (*DATASETS[dataset].rules, *DATASETS[dataset].quality_flags):
        mask = rule.find(Rows(rows), APRIL)
        assert mask is None or not mask.any()


def test_refunds_break_no_rule() -> None:
    nine = datetime(2020, 4, 1, 9)
    row = {"pickup_datetime": [nine], "dropoff_datetime": [nine], "passenger_count": [1], "trip_distance": [-2.0]}
    for rule in DATASETS["yellow"].rules:
        assert found("yellow", rule.name, **row) == [False]


@pytest.mark.parametrize(("dataset", "column"), [("green", "trip_distance"), ("fhvhv", "trip_miles")])
def test_implausible_distance(dataset: str, column: str) -> None:
    assert found(dataset, "implausible_distance", **{column: [100.0, 100.01, None, -5.0]}) == [
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(("dataset", "column"), [("green", "trip_distance"), ("fhvhv", "trip_miles")])
def test_implausible_speed(dataset: str, column: str) -> None:
    nine, half = datetime(2020, 4, 1, 9), datetime(2020, 4, 1, 9, 30)
    columns = {
        "pickup_datetime": [nine, nine, nine, half, None, nine],
        "dropoff_datetime": [half, half, nine, nine, half, half],
        column: [50.0, 50.01, 9.0, 99.0, 99.0, None],
    }
    # A trip of no time has no speed.
    assert found(dataset, "implausible_speed", **columns) == [False, True, False, False, False, False]


def test_clock_resets() -> None:
    times = ["2008-12-30T23:59:59", "2008-12-31", "2009-01-01T23:59:59", "2009-01-02", "2020-04-01"]
    pickups = [*(datetime.fromisoformat(text) for text in times), None]
    assert found("green", "clock_resets", pickup_datetime=pickups) == [False, True, True, False, False, False]
    # In the month that the clocks fall back to, such pickups are as good as any.
    assert found("yellow", "clock_resets", date(2009, 1, 1), pickup_datetime=pickups) == [False] * 6


def test_microseconds() -> None:
    assert microseconds(date(1970, 1, 2)) == 86_400_000_000
    assert microseconds(date(1969, 12, 31)) == -86_400_000_000
