"""PostgreSQL's own ways with a month: readers, its partitions, the local copy that it is loaded from, late runs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest

from taxi_assets.contract.manifest import Manifest
from taxi_assets.contract.object_names import clean_object
from taxi_assets.resources import postgres_session
from taxi_assets.resources.lake import LakeFile
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.source import SourceResource
from taxi_assets.sample.maker import SampleFiles
from taxi_assets_tests.conftest import World, retries
from taxi_assets_tests.support.http_server import FileServer
from taxi_assets_tests.support.versions import APRIL, MAY, everywhere, fails, held, version

COLUMNS = """
    SELECT c.relname, array_agg(format('%%s %%s %%s', attname, format_type(atttypid, atttypmod), attnotnull)
                                ORDER BY attnum)
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE attnum > 0 AND c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass) GROUP BY 1
"""


def test_a_reader_that_does_not_end(world: World, monkeypatch: pytest.MonkeyPatch):
    assert world.run("green", APRIL).success
    before = held(world)
    monkeypatch.setattr(postgres_session, "LOCK_PATIENCE_SECONDS", 0.1)
    with psycopg.connect(world.postgres_url, application_name="a report") as reader:
        reader.execute("SELECT count(*) FROM taxi.green_trips")
        pid = reader.info.backend_pid
        named = [f"process {pid} of postgres (a report), open for ", "let it end", "pg_terminate_backend"]
        fails(world, ["taxi.green_trips was in use", *named], True, "postgres_table")
        assert reader.execute("SELECT count(*) FROM taxi.green_trips").fetchone() == (before["postgres"].rows,)
    assert world.run("green", APRIL, "postgres_table", force=True).success
    assert held(world) == before
    assert not world.leftovers()


def test_a_reader_of_another_kind_of_table_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch):
    """A first month is attached beside those who read the others."""
    assert world.run("green", APRIL).success
    monkeypatch.setattr(postgres_session, "LOCK_PATIENCE_SECONDS", 0.1)
    with psycopg.connect(world.postgres_url) as reader:
        reader.execute("SELECT count(*) FROM taxi.green_trips")
        assert world.run("green", MAY).success


def test_a_table_in_postgres_has_the_source_month_as_its_only_partition_key(world: World):
    assert world.run("green", APRIL).success
    warehouse = PostgresWarehouse(url=world.postgres_url)
    with warehouse.connect() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("INSERT INTO taxi.green_trips (source_month) VALUES ('2020-05-01')")


def test_a_corrupt_local_copy_is_fetched_again(world: World):
    assert world.run("green", APRIL).success
    before = held(world)
    for item in [*world.lake.list("raw/green/"), world.lake.find(clean_object("green", APRIL))]:
        path = world.lake.local_path(item.name)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    for name in ("postgres_table", "clean_parquet", "gcs_object", "postgres_table"):
        assert world.run("green", APRIL, name).success
    assert held(world) == before


def test_an_older_month_that_is_late_at_postgres_does_not_replace_the_newer_one(
    world: World, server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The older run has its file already; meanwhile the newer one ends everywhere."""
    found = world.with_source(server.url("/green_{month}.csv.gz"))
    server.put("green_2020-04.csv.gz", version(300).data)
    assert found.run("green", APRIL).success
    original = PostgresWarehouse.replace_month

    def replace_month(self: Any, dataset: Any, month: date, kept: LakeFile, manifest: Manifest) -> Any:
        @contextmanager
        def late() -> Iterator[Path]:
            with kept.local() as path:
                older = Path(shutil.copy(path, tmp_path))
            monkeypatch.setattr(PostgresWarehouse, "replace_month", original)
            server.put("green_2020-04.csv.gz", version(400).data)
            assert found.run("green", APRIL).success
            yield older

        return original(self, dataset, month, replace(kept, local=late), manifest)

    monkeypatch.setattr(PostgresWarehouse, "replace_month", replace_month)
    result = found.run("green", APRIL, "postgres_table", force=True)
    assert (result.success, retries(result)) == (True, 1)
    assert held(found) == everywhere(version(400))
    assert not found.leftovers()


def test_partitions_of_two_eras_have_the_same_types(world: World):
    """2009 has coordinates and vendor names, 2024 has zones and more fees."""
    source = SourceResource(templates="sample", sample=SampleFiles(), sample_rows=500)
    small = replace(world, resources=world.resources | {"source": source})
    for year in (2009, 2024):
        names = ("raw_file", "clean_parquet", "gcs_object", "postgres_table")
        assert small.run("yellow", date(year, 1, 1), *names).success
    with world.postgres.connect() as connection:
        columns = dict(connection.execute(COLUMNS, ["taxi.yellow_trips"]).fetchall())
    assert list(columns) == ["yellow_trips_2009_01", "yellow_trips_2024_01"]
    assert len({tuple(types) for types in columns.values()}) == 1
