"""Totals and manifests: counted in any order, compared exactly, written and read back."""

import json
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.manifest import METADATA_KEY, Manifest, Totals
from taxi_assets.contract.schemas import GREEN
from taxi_assets.errors import BadFileError

SCHEMA = pa.schema([(c.name, c.type) for c in GREEN.columns])
NINE, TEN = datetime(2020, 4, 1, 9), datetime(2020, 4, 1, 10)


def batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"pickup_datetime": NINE} | row for row in rows], SCHEMA)


def totals(*rows: dict[str, Any]) -> Totals:
    found = Totals()
    found.add(batch(*rows), GREEN)
    return found


def manifest(**values: Any) -> Manifest:
    known: dict[str, Any] = {
        "dataset": "green",
        "month": date(2020, 4, 1),
        "contract_version": "1",
        "raw_file": "x.csv",
        "raw_sha256": "0",
        "raw_rows": 10,
        "layout": "csv, 3 columns",
        "source": "sample",
        "rejected": {"a": 1, "b": 2},
        "flagged": {},
        "rules_off": ["b"],
        "kept": totals({"fare_amount": 1.0}),
    }
    return Manifest(**known | values)


def test_totals_of_rows() -> None:
    found = totals({"fare_amount": 1.10, "extra": -0.5}, {"fare_amount": None, "pickup_datetime": TEN})
    assert found.rows == 2
    assert (found.cents["fare_amount"], found.cents["extra"], found.cents["tip_amount"]) == (110, -50, 0)
    assert set(found.cents) == set(GREEN.money)
    assert (found.first_pickup, found.last_pickup) == (NINE, TEN)


@pytest.mark.parametrize(
    ("dollars", "cents"),
    [(0.005, 1), (-0.005, 0), (-0.006, -1), (1.005, 100), (0.29, 29), (-2.5, -250), (999_999_999.99, 99_999_999_999)],
)
def test_cents_are_rounded_row_by_row_as_the_warehouses_do(dollars: float, cents: int) -> None:
    """floor(100 x + 0.5), in the floating-point numbers that x is."""
    assert totals({"fare_amount": dollars}).cents["fare_amount"] == cents


def test_sums_of_cents_are_exact() -> None:
    rows = [{"fare_amount": 999_999_999.0}] * 100_000 + [{"fare_amount": 0.01}]
    assert totals(*rows).cents["fare_amount"] == 99_999_999_900 * 100_000 + 1


def test_totals_do_not_depend_on_order_or_batches() -> None:
    random = Random(4)
    rows = [{"fare_amount": random.uniform(-50, 500), "pickup_datetime": random.choice([NINE, TEN])} for _ in range(99)]
    whole = totals(*rows)
    random.shuffle(rows)
    merged = Totals()
    for at in range(0, 99, 10):
        merged.merge(totals(*rows[at : at + 10]))
    assert merged == whole
    assert merged.differences(whole) == []


def test_no_rows_change_nothing() -> None:
    found = Totals()
    found.add(batch(), GREEN)
    assert found == Totals()
    one = totals({})
    one.merge(Totals())
    assert one == totals({})


def test_differences_say_what_differs() -> None:
    mine, theirs = totals({"fare_amount": 1.0}), totals({"fare_amount": 2.0}, {"pickup_datetime": TEN})
    assert mine.differences(theirs) == [
        "rows 1 against 2",
        "cents of fare_amount 100 against 200",
        f"last pickup {NINE} against {TEN}",
    ]
    # A sum that one side does not have is 0 there.
    assert Totals(cents={"extra": 0}).differences(Totals()) == []
    assert Totals(cents={"extra": 5}).differences(Totals()) == ["cents of extra 5 against 0"]


@pytest.mark.parametrize("kept", [totals({"fare_amount": 1.0}), Totals()])
def test_a_manifest_survives_being_written(kept: Totals) -> None:
    before = manifest(kept=kept)
    after = Manifest.from_json(before.to_json())
    assert after == before
    assert after.to_json() == before.to_json()
    assert "\n" not in before.to_json()


def test_a_manifest_with_the_old_name_of_its_flags_is_read() -> None:
    """Before release 0.2 the flagged rows were called `doubtful`, and totals had no lengths of texts."""
    expected = manifest(flagged={"no_passenger": 7})
    values = json.loads(expected.to_json())
    values["doubtful"] = values.pop("flagged")
    del values["kept"]["characters"]
    expected.kept.characters = {}
    assert Manifest.from_json(json.dumps(values)) == expected


def test_rejected_rows_and_their_share() -> None:
    assert (manifest().rejected_rows, manifest().rejected_share) == (3, 0.3)
    assert manifest(raw_rows=0, rejected={}).rejected_share == 0.0


def test_a_manifest_in_a_file(tmp_path: Path) -> None:
    table = pa.table({"a": [1]})
    path = tmp_path / "kept.parquet"
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: manifest().to_json()}), path)
    assert Manifest.of_file(path) == manifest()
    pq.write_table(table, path)
    with pytest.raises(BadFileError, match=r"kept\.parquet has no manifest.*clean_parquet"):
        Manifest.of_file(path)
