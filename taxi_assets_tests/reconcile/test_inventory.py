"""What each place says that it holds, by month."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg
import pytest

from taxi_assets.contract.datasets import DATASETS, Dataset
from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import clean_object
from taxi_assets.errors import ServiceError, ServiceUnavailableError
from taxi_assets.reconcile.inventory import lake_objects
from taxi_assets.resources import postgres_session
from taxi_assets.resources.lake import LakeObject, LakeResource
from taxi_assets_tests.conftest import World, changed
from taxi_assets_tests.support.http_server import serve
from taxi_assets_tests.support.versions import APRIL, MAY, version
from taxi_assets_tests.support.waiting import wait_for

GREEN = DATASETS["green"]


def lake_months(lake: LakeResource, dataset: Dataset) -> dict[date, Manifest]:
    """Return the manifests of the months that the lake holds."""
    objects = lake_objects(lake, dataset).items()
    return {month: Manifest.from_json(o.metadata["manifest"]) for month, o in objects if "manifest" in o.metadata}


def test_nothing_is_loaded_yet(world: World):
    assert lake_months(world.lake, GREEN) == {}
    assert world.bigquery.month_rows(GREEN) == {}
    assert world.postgres.month_rows(GREEN) == {}
    assert world.postgres.loaded_manifests(GREEN) == {}


def test_every_place_tells_its_months(world: World, tmp_path: Path):
    with serve(tmp_path / "source") as server:
        found = world.with_source(server.url("/{dataset}_{month}.csv.gz"))
        for month, rows in ((MAY, 300), (APRIL, 400)):
            server.put(f"green_{month:%Y-%m}.csv.gz", version(rows, month=month).data)
            assert found.run("green", month).success
        held = lake_months(world.lake, GREEN)
        rows = {APRIL: version(400).kept.rows, MAY: version(300, month=MAY).kept.rows}
        assert list(held) == [APRIL, MAY]
        assert {month: manifest.kept.rows for month, manifest in held.items()} == rows
        assert world.bigquery.month_rows(GREEN) == world.postgres.month_rows(GREEN) == rows
        assert list(world.postgres.month_rows(GREEN)) == list(world.bigquery.month_rows(GREEN)) == [APRIL, MAY]
        for warehouse in (world.postgres, world.bigquery):
            assert warehouse.month_rows(GREEN, MAY, MAY) == {MAY: rows[MAY]}
        assert world.postgres.loaded_manifests(GREEN) == held
        assert lake_months(world.lake, DATASETS["yellow"]) == world.postgres.month_rows(DATASETS["yellow"]) == {}

        # A newer file that only reaches the lake: PostgreSQL's comment still tells of the older one.
        server.put("green_2020-04.csv.gz", version(500).data)
        assert found.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    newer, loaded = lake_months(world.lake, GREEN)[APRIL], world.postgres.loaded_manifests(GREEN)[APRIL]
    assert newer.raw_sha256 != loaded.raw_sha256 == held[APRIL].raw_sha256

    # What people do by hand.
    with psycopg.connect(world.postgres_url) as connection:
        connection.execute("DELETE FROM taxi.green_trips WHERE source_month = '2020-05-01'")
        connection.execute("COMMENT ON TABLE taxi.green_trips_2020_04 IS 'mine'")
        connection.execute("CREATE TABLE taxi.green_trips_2020_06 (LIKE taxi.green_trips)")
    assert world.postgres.month_rows(GREEN) == {APRIL: rows[APRIL]}
    assert list(world.postgres.loaded_manifests(GREEN)) == [MAY]
    bucket = world.lake._bucket
    for name in ("clean/green/notes.txt", "clean/green/green_trips_2020-07-01.parquet", clean_object("green", MAY)):
        bucket.blob(name).upload_from_string("x")
    assert list(lake_months(world.lake, GREEN)) == [APRIL]
    assert list(lake_objects(world.lake, GREEN)) == [APRIL, MAY]


def test_counting_does_not_keep_a_month_from_being_published(world: World, monkeypatch: pytest.MonkeyPatch):
    """April is published anew while the count waits at May."""
    for month in (APRIL, MAY):
        assert world.run("green", month).success
    before = world.postgres.month_rows(GREEN)
    monkeypatch.setattr(postgres_session, "LOCK_PATIENCE_SECONDS", 2.0)
    with ThreadPoolExecutor(1) as pool:
        with psycopg.connect(world.postgres_url) as blocker:
            blocker.execute("LOCK TABLE taxi.green_trips_2020_05 IN ACCESS EXCLUSIVE MODE")
            counted = pool.submit(world.postgres.month_rows, GREEN)
            wait_for(lambda: waiting(world), "a session that waits")
            assert world.run("green", APRIL, "postgres_table").success
            assert not counted.done()
        assert counted.result(20) == before


def waiting(world: World) -> bool:
    """Return whether a session of the database waits for a lock."""
    with psycopg.connect(world.postgres_url) as connection:
        query = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"
        return connection.execute(query).fetchone() == (True,)


def test_a_place_that_is_not_as_needed_is_named(world: World):
    with pytest.raises(ServiceError, match="does not exist; create it"):
        lake_months(changed(world.lake, bucket="nowhere"), GREEN)
    with pytest.raises(ServiceUnavailableError, match="PostgreSQL does not answer"):
        changed(world.postgres, url="postgresql://u@127.0.0.1:1/d").month_rows(GREEN)
    assert changed(world.bigquery, dataset="not_there").month_rows(GREEN) == {}


@pytest.mark.parametrize("name", ["green", "green_trips", "high_volume_for_hire"])
def test_months_are_found_for_a_dataset_with_underscores_in_its_name(name: str, monkeypatch: pytest.MonkeyPatch):
    def listing(_lake: LakeResource, prefix: str) -> Iterator[LakeObject]:
        assert clean_object(name, MAY).startswith(prefix)
        yield LakeObject(clean_object(name, MAY), "", 1, "", {"archived_at": "2020"}, datetime.now(UTC))

    monkeypatch.setattr(LakeResource, "list", listing)
    lake = LakeResource(project="p", bucket="b", data_dir="unused")
    assert list(lake_objects(lake, replace(GREEN, name=name))) == [MAY]
