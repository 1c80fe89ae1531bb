"""Two runs of one month with different files, the older one late: the month never goes backward."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest
from taxi_assets.defs.assets import clean_parquet, raw_file
from taxi_assets.reconcile.compare import Finding, Places, compare
from taxi_assets.reconcile.inventory import lake_objects, newest_raw_files
from taxi_assets.reconcile.verify import verify
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.http_server import serve
from taxi_assets_tests.support.versions import APRIL, everywhere, held, version

GREEN = DATASETS["green"]
LATE = {
    "before it archives what it has fetched": (raw_file, "_after"),
    "before it stores its cleaning": (clean_parquet, "_store"),
    "before it puts its pending files": (LakeResource, "put"),
    "before it is promoted": (LakeResource, "promote"),
    "before it is loaded into BigQuery": (BigQueryWarehouse, "replace_month"),
    "before it is published in BigQuery": (BigQueryWarehouse, "_publish"),
    "before it is loaded into PostgreSQL": (PostgresWarehouse, "replace_month"),
}


def once_before(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, act: Callable[[], None], call: int = 1) -> None:
    """Act before the given call of a function, with the function as it was."""
    original, calls = getattr(owner, name), 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            monkeypatch.setattr(owner, name, original)
            act()
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, wrapped)


def differences(world: World) -> list[str]:
    report = verify(GREEN, world.lake, [world.bigquery, world.postgres])
    return [f"{item.place}: {item.found}" for item in report.differences]


@pytest.mark.parametrize("moment", LATE)
def test_an_older_run_that_is_late_does_not_set_the_month_back(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
):
    with serve(tmp_path / "source") as server:
        found = world.with_source(server.url("/green_{month}.csv.gz"))
        server.put("green_2020-04.csv.gz", version(300).data)
        assert found.run("green", APRIL).success

        def newer_run() -> None:
            server.put("green_2020-04.csv.gz", version(320).data)
            assert found.run("green", APRIL).success

        server.put("green_2020-04.csv.gz", version(310).data)
        # The first `put` is the raw file's.
        once_before(monkeypatch, *LATE[moment], newer_run, call=2 if LATE[moment][1] == "put" else 1)
        found.run("green", APRIL)
        assert held(found) == everywhere(version(320))
        assert differences(found) == []
        # The archive says of its newest file what it is.
        newest = newest_raw_files(found.lake, GREEN)[APRIL]
        assert newest.metadata["sha256"] == hashlib.sha256(version(320).data).hexdigest()
        assert not found.leftovers()


def test_a_month_that_is_older_than_its_raw_file_is_noticed(world: World, tmp_path: Path):
    """As after a run that ended between archiving and publishing."""
    with serve(tmp_path / "source") as server:
        found = world.with_source(server.url("/green_{month}.csv.gz"))
        for rows in (300, 310):
            server.put("green_2020-04.csv.gz", version(rows).data)
            assert found.run("green", APRIL, *(() if rows == 300 else ("raw_file",))).success
    [difference] = differences(found)
    assert difference.startswith("the lake: the rows of an older raw file")
    manifest = {APRIL: lake_manifest(found)}
    rows = {APRIL: manifest[APRIL].kept.rows}
    raw = {month: item.metadata["sha256"] for month, item in newest_raw_files(found.lake, GREEN).items()}
    places = Places({APRIL}, manifest, rows, rows, {APRIL: manifest[APRIL].raw_sha256}, raw)
    assert compare(places) == [Finding(APRIL, "the lake has the rows of an older raw file")]


def lake_manifest(world: World) -> Manifest:
    return Manifest.from_json(lake_objects(world.lake, GREEN)[APRIL].metadata["manifest"])


def test_a_clock_that_is_behind_does_not_make_a_newer_file_older(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Clock(datetime):
        behind = timedelta()

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) - cls.behind

    monkeypatch.setattr(raw_file, "datetime", Clock)
    with serve(tmp_path / "source") as server:
        # Under another name, as when the mirror turned from CSV to Parquet: both files stay in the lake.
        for rows, ending in ((300, "csv.gz"), (310, "parquet")):
            server.put(f"green_2020-04.{ending}", version(rows, ending).data)
            assert world.with_source(server.url("/green_{month}." + ending)).run("green", APRIL).success
            Clock.behind = timedelta(hours=1)
    assert held(world) == everywhere(version(310, "parquet"))
    archived = datetime.fromisoformat(newest_raw_files(world.lake, GREEN)[APRIL].metadata["archived_at"])
    assert archived > datetime.now(UTC) - timedelta(minutes=30)


def test_a_staging_table_of_a_killed_run_is_dropped_though_nothing_has_changed(world: World):
    home = dg.DagsterInstance.ephemeral()
    assert world.run("green", APRIL, home=home).success
    with world.bigquery.get_client() as client:
        table = f"{world.bigquery.table(GREEN)}__staging_202004_1700000000000000000_0123abcd"
        client.query(f"CREATE TABLE `{table}` (x INT64)").result()
    assert world.leftovers()
    result = world.run("green", APRIL, home=home)
    assert not result.asset_materializations_for_node("green__bigquery_table")[0].metadata["loaded"].value
    assert not world.leftovers()
