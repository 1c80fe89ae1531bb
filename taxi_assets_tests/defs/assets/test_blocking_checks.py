"""Each blocking check, made to fail: nothing after it runs, and nothing is published."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.assets import clean_parquet
from taxi_assets.defs.checks import CLEAN_CHECKS, GCS_CHECKS, WAREHOUSE_CHECKS
from taxi_assets_tests.conftest import World, retries
from taxi_assets_tests.support.http_server import FileServer, serve
from taxi_assets_tests.support.versions import APRIL, everywhere, held, version

BLOCKING = {check.name for check in (*CLEAN_CHECKS, *GCS_CHECKS, *WAREHOUSE_CHECKS) if check.blocking}
BEFORE_PUBLISHING = {check.name for check in CLEAN_CHECKS if check.blocking}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serve(tmp_path / "source") as server:
        server.put("green_2020-04.csv", version(300, "csv").data)
        yield server


def failed_checks(result: dg.ExecuteInProcessResult) -> set[str]:
    return {evaluation.check_name for evaluation in result.get_asset_check_evaluations() if not evaluation.passed}


def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
    return [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]


def one_raw_row_more(results: tuple[Path, Path, Any]) -> tuple[Path, Path, Any]:
    kept, rejected, manifest = results
    return kept, rejected, replace(manifest, raw_rows=manifest.raw_rows + 1)


def another_type(results: tuple[Path, Path, Any]) -> tuple[Path, Path, Any]:
    table = pq.read_table(results[0])
    at = table.schema.get_field_index("fare_amount")
    pq.write_table(table.set_column(at, "fare_amount", table.column(at).cast(pa.string())), results[0])
    return results


def unreadable(data: bytes, of_ten: int) -> bytes:
    """Return the file with that many of ten rows made unreadable."""
    header, *rows = data.splitlines(keepends=True)
    rows = [b"x" + row if number % 10 < of_ten else row for number, row in enumerate(rows)]
    return b"".join([header, *rows])


DAMAGES: dict[str, tuple[Callable[[Any], Any] | int, set[str]]] = {
    "rows_are_conserved": (one_raw_row_more, {"rows_are_conserved"}),
    "schema_is_the_contract": (another_type, {"schema_is_the_contract"}),
    "month_is_not_empty": (10, {"month_is_not_empty", "rejected_share_is_usual"}),
    "rejected_share_is_usual": (4, {"rejected_share_is_usual"}),
}


def test_every_blocking_check_is_made_to_fail_here():
    assert set(DAMAGES) == BEFORE_PUBLISHING
    assert {"objects_are_the_files", "table_is_the_lake"} == BLOCKING - BEFORE_PUBLISHING


@pytest.mark.parametrize("check", DAMAGES)
def test_a_month_that_fails_a_check_is_not_published(
    world: World, server: FileServer, monkeypatch: pytest.MonkeyPatch, check: str
):
    damage, failing = DAMAGES[check]
    found = world.with_source(server.url("/green_{month}.csv"))
    assert found.run("green", APRIL).success
    before = held(found)
    newer = version(310, "csv")
    with monkeypatch.context() as patch:
        if isinstance(damage, int):
            server.put("green_2020-04.csv", unreadable(newer.data, damage))
        else:
            server.put("green_2020-04.csv", newer.data)
            original = clean_parquet.clean_file
            patch.setattr(clean_parquet, "clean_file", lambda *args, **named: damage(original(*args, **named)))
        result = found.run("green", APRIL)
    assert not result.success
    # The few rows of these months are fewer than TLC published, which only warns.
    assert failed_checks(result) - {"raw_rows_are_those_published"} == failing
    assert set(materialized(result)) <= {"raw_file", "clean_parquet"}
    assert retries(result) == 0
    assert held(found) == before
    # Nor does what comes after it, run alone, find anything to publish.
    assert found.run("green", APRIL, "gcs_object", "bigquery_table", "postgres_table").success
    assert held(found) == before

    server.put("green_2020-04.csv", newer.data)
    assert found.run("green", APRIL).success
    assert held(found) == everywhere(newer)
    assert not found.leftovers()


def test_an_unusual_share_of_rejected_rows_only_warns(world: World, server: FileServer):
    server.put("green_2020-04.csv", unreadable(version(310, "csv").data, 1))
    result = world.with_source(server.url("/green_{month}.csv")).run("green", APRIL)
    assert result.success
    # A small file is not TLC's month, which that check says of a CSV too.
    assert failed_checks(result) == {"rejected_share_is_usual", "raw_rows_are_those_published"}
    assert world.rejected("green", APRIL).num_rows >= 31


def test_an_object_that_was_overwritten_stops_the_month(world: World):
    assert world.run("green", APRIL).success
    before = held(world)
    blob = world.lake._bucket.get_blob(clean_object("green", APRIL))
    other = world.lake._bucket.blob(blob.name)
    other.metadata = blob.metadata
    other.upload_from_string(b"something else")
    result = world.run("green", APRIL, "gcs_object", "bigquery_table", "postgres_table")
    assert not result.success
    assert failed_checks(result) == {"objects_are_the_files"}
    assert set(materialized(result)) <= {"gcs_object"}
    assert retries(result) == 0
    assert world.run("green", APRIL).success
    assert held(world) == before


@pytest.mark.parametrize("sink", ["bigquery", "postgres"])
def test_a_table_that_is_not_the_lake_fails_the_run(world: World, monkeypatch: pytest.MonkeyPatch, sink: str):
    assert world.run("green", APRIL).success
    warehouse = type(world.resources[sink])
    original = warehouse.month_totals
    with monkeypatch.context() as patch:
        patch.setattr(warehouse, "month_totals", lambda *args: replace(original(*args), rows=1))
        result = world.run("green", APRIL, f"{sink}_table")
    assert not result.success
    assert failed_checks(result) == {"table_is_the_lake"}
