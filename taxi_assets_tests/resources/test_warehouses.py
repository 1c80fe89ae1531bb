"""Write, audit, publish: what the sinks refuse, what a rerun replaces, and what stays as it was."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.object_names import clean_object
from taxi_assets.contract.schemas import Schema
from taxi_assets.contract.tables import TABLES
from taxi_assets.resources import postgres as postgres_module
from taxi_assets.resources import postgres_session
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeFile
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.postgres_tables import MIGRATIONS, Migration, follow_contract, migrate
from taxi_assets.sample.maker import SampleFiles
from taxi_assets_tests.conftest import World, changed, retries
from taxi_assets_tests.support.http_server import FileServer, serve
from taxi_assets_tests.support.versions import APRIL, MAY, everywhere, fails, held, version

GREEN = DATASETS["green"]
MARCH = date(2020, 3, 1)
NAMES = ("bigquery_table", "postgres_table")
COLUMNS = """
    SELECT c.relname, array_agg(format('%%s %%s %%s', attname, format_type(atttypid, atttypmod), attnotnull)
                                ORDER BY attnum)
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
    WHERE attnum > 0 AND c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %s::regclass) GROUP BY 1
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serve(tmp_path / "source") as server:
        yield server


def tamper(world: World, rows: int = 0, cents: int = 0, content: bytes | None = None) -> None:
    """Change what the published object says of its rows, or the rows themselves under the same metadata."""
    blob = world.lake._bucket.get_blob(clean_object("green", APRIL))
    metadata = dict(blob.metadata)
    manifest = json.loads(metadata["manifest"])
    manifest["kept"]["rows"] += rows
    manifest["kept"]["cents"]["fare_amount"] += cents
    if content is not None:
        blob = world.lake._bucket.blob(blob.name)
    blob.metadata = metadata | {"manifest": json.dumps(manifest)}
    if content is None:
        blob.patch()
    else:
        blob.upload_from_string(content)


@pytest.mark.parametrize(("change", "difference"), [({"rows": 1}, "rows"), ({"cents": -5}, "cents of fare_amount")])
def test_what_differs_from_the_lake_is_not_published(world: World, change: Any, difference: str):
    assert world.run("green", APRIL).success
    before = held(world)
    tamper(world, **change)
    for name in NAMES:
        fails(world, [difference, "than the lake holds it", "Nothing was published"], True, name)
    assert held(world) == before
    assert not world.leftovers()


def test_rows_that_were_exchanged_in_the_lake_are_not_published(world: World, tmp_path: Path):
    assert world.run("green", APRIL).success
    before = world.totals("green", APRIL)
    other = pq.read_table(world.lake.fetch(clean_object("green", APRIL))).slice(1)
    pq.write_table(other, tmp_path / "other.parquet")
    tamper(world, content=(tmp_path / "other.parquet").read_bytes())
    for name in NAMES:
        fails(world, ["rows", "Nothing was published"], True, name)
    after = world.totals("green", APRIL)
    assert (after["bigquery"], after["postgres"]) == (before["bigquery"], before["postgres"])
    assert after["lake"].rows == before["lake"].rows - 1
    assert not world.leftovers()


def test_an_object_that_lost_its_metadata_is_not_loaded(world: World, tmp_path: Path):
    """As when a file is copied over it by hand."""
    assert world.run("green", APRIL).success
    before = held(world)
    name = clean_object("green", APRIL)
    data = world.lake.fetch(name).read_bytes()
    world.lake._bucket.blob(name).upload_from_string(data)
    for asset in NAMES:
        fails(world, ["overwritten by hand", "materialize green/clean_parquet"], False, asset)
    assert world.run("green", APRIL).success
    assert held(world) == before


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


def test_a_month_is_replaced_whole(world: World, server: FileServer):
    """Rows of the older file go, whatever their pickup time is, and those of the newer one come once."""
    found = world.with_source(server.url("/green_{month}.csv.gz"))
    strays = {}
    for rows in (400, 300, 500):
        server.put("green_2020-04.csv.gz", version(rows).data)
        assert found.run("green", APRIL).success
        assert held(found) == everywhere(version(rows))
        with found.postgres.connect() as connection:
            outside = "pickup_datetime < '2020-04-01' OR pickup_datetime >= '2020-05-01'"
            query = f"SELECT count(*), count(*) FILTER (WHERE {outside}) FROM taxi.green_trips"
            strays[rows] = connection.execute(query).fetchone()  # type: ignore[arg-type]
    assert [strays[rows][0] for rows in strays] == [version(rows).kept.rows for rows in strays]


def test_a_month_is_not_loaded_again_from_the_same_object_while_its_totals_are_right(world: World):
    home = dg.DagsterInstance.ephemeral()

    def loads(**run_config: Any) -> list[bool]:
        result = world.run("green", APRIL, home=home, **run_config)
        assert result.success
        events = [result.asset_materializations_for_node(f"green__{name}")[0] for name in NAMES]
        return [bool(event.metadata["loaded"].value) for event in events]

    assert loads() == [True, True]
    as_loaded = world.totals("green", APRIL)
    assert loads() == [False, False]
    with psycopg.connect(world.postgres_url) as connection:
        connection.execute("UPDATE taxi.green_trips SET tip_amount = tip_amount + 1")
    assert loads() == [False, True]
    assert world.totals("green", APRIL) == as_loaded
    ops = {f"green__{name}": {"config": {"force": True}} for name in NAMES}
    assert loads(run_config={"ops": ops}) == [True, True]
    # Another machine's Dagster, which does not know what was loaded.
    home = dg.DagsterInstance.ephemeral()
    assert loads() == [True, True]


def test_a_stray_pickup_is_not_doubled(world: World, server: FileServer, tmp_path: Path):
    """The file's month is what a rerun replaces; one of its trips began on the last day of the month before."""
    found = world.with_source(server.url("/green_{month}.parquet"))
    for month in (date(2020, 3, 1), APRIL):
        server.put(f"green_{month:%Y-%m}.parquet", version(200, "parquet", month).data)
    path = server.folder / "green_2020-04.parquet"
    table = pq.read_table(path)
    names = ("lpep_pickup_datetime", "lpep_dropoff_datetime")
    for name in names:
        at = table.schema.get_field_index(name)
        values = table.column(name).to_pylist()
        values[10] = values[10].replace(month=3, day=31)
        table = table.set_column(at, table.field(at), [values])
    pq.write_table(table, path)
    counts = []
    for _ in range(2):
        for month in (date(2020, 3, 1), APRIL):
            assert found.run("green", month).success
        with found.postgres.connect() as connection:
            counts.append(
                connection.execute(
                    "SELECT source_month, count(*) FROM taxi.green_trips GROUP BY 1 ORDER BY 1"
                ).fetchall()
            )
        totals = found.totals("green", APRIL)
        assert totals["lake"] == totals["bigquery"] == totals["postgres"]
    assert counts[0] == counts[1]
    assert found.postgres.month_totals(GREEN, APRIL).first_pickup.month == 3  # type: ignore[union-attr]


def test_the_newest_raw_file_of_a_month_counts(world: World, server: FileServer):
    """A month's file may change its name, as when the mirror turned from CSV to Parquet, and change back."""
    for rows, ending in ((300, "csv.gz"), (310, "parquet"), (320, "csv.gz")):
        server.put(f"green_2020-04.{ending}", version(rows, ending).data)
        assert world.with_source(server.url("/green_{month}." + ending)).run("green", APRIL).success
        assert held(world) == everywhere(version(rows, ending))
    assert len(list(world.lake.list("raw/"))) == 2


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


def test_a_staging_table_that_another_run_removes(world: World, monkeypatch: pytest.MonkeyPatch):
    """Of two runs of a month, the later clears what looks like the earlier one's leftovers; that one loads anew."""
    original = BigQueryWarehouse._publish
    removed = []

    def publish(self: Any, client: Any, table: str, staging: str, *rest: Any) -> None:
        if not removed:
            removed.append(staging)
            client.delete_table(staging)
        original(self, client, table, staging, *rest)

    assert world.run("green", APRIL).success
    before = held(world)
    monkeypatch.setattr(BigQueryWarehouse, "_publish", publish)
    result = world.run("green", APRIL, "bigquery_table", force=True)
    assert result.success
    assert retries(result) == 1
    assert held(world) == before
    assert not world.leftovers()


def test_an_object_that_goes_away_before_bigquery_reads_it(world: World, monkeypatch: pytest.MonkeyPatch):
    assert world.run("green", APRIL).success
    before = world.bigquery.month_totals(GREEN, APRIL)
    original = BigQueryWarehouse.replace_month

    def replace_month(self: Any, dataset: Any, month: date, kept: Any, manifest: Any) -> Any:
        return original(self, dataset, month, replace(kept, uri=kept.uri + ".gone"), manifest)

    monkeypatch.setattr(BigQueryWarehouse, "replace_month", replace_month)
    fails(world, ["Google refuses", ".gone"], False, "bigquery_table")
    assert world.bigquery.month_totals(GREEN, APRIL) == before
    assert not world.leftovers()


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


def test_two_eras_in_one_table(world: World):
    """2009 has coordinates and vendor names, 2024 has zones and more fees: the columns and their types are the same."""
    months = (date(2009, 1, 1), date(2024, 1, 1))
    small = replace(
        world,
        resources=world.resources
        | {"source": type(world.resources["source"])(templates="sample", sample=SampleFiles(), sample_rows=500)},
    )
    for month in months:
        assert small.run("yellow", month).success
    kept = [(month, world.totals("yellow", month)["lake"].rows) for month in months]
    query = "SELECT source_month, count(*) FROM {} GROUP BY source_month ORDER BY source_month"
    with world.bigquery.get_client() as client:
        table = world.bigquery.table(DATASETS["yellow"])
        assert [tuple(row.values()) for row in client.query(query.format(f"`{table}`")).result()] == kept
    with world.postgres.connect() as connection:
        assert connection.execute(query.format("taxi.yellow_trips")).fetchall() == kept  # type: ignore[arg-type]
        columns = dict(connection.execute(COLUMNS, ["taxi.yellow_trips"]).fetchall())
    assert list(columns) == ["yellow_trips_2009_01", "yellow_trips_2024_01"]
    assert len({tuple(types) for types in columns.values()}) == 1
    schemas = [pq.read_schema(world.lake.fetch(clean_object("yellow", month))) for month in months]
    assert schemas[0].remove_metadata() == schemas[1].remove_metadata() == DATASETS["yellow"].schema.arrow


def test_a_table_in_postgres_has_the_source_month_as_its_only_partition_key(world: World):
    assert world.run("green", APRIL).success
    warehouse = PostgresWarehouse(url=world.postgres_url)
    with warehouse.connect() as connection, pytest.raises(psycopg.errors.CheckViolation):
        connection.execute("INSERT INTO taxi.green_trips (source_month) VALUES ('2020-05-01')")


def test_a_column_that_the_contract_wins_is_added_to_the_tables(world: World, monkeypatch: pytest.MonkeyPatch):
    """The tables were made before TLC added the column: the months in them stay, with NULL in it."""
    older = replace(GREEN, schema=Schema(tuple(c for c in GREEN.schema.columns if c.name != "cbd_congestion_fee")))
    empty = world.settings.data_dir / "older.parquet"
    empty.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(older.schema.arrow.empty_table(), empty)
    nothing = Totals(cents=dict.fromkeys(older.schema.money, 0))
    manifest = Manifest("green", MARCH, "1", "", "", 0, "", "", {}, {}, [], nothing)
    file = world.lake.file(world.lake.put(empty, "older.parquet", {}))
    with monkeypatch.context() as before:
        before.setitem(TABLES, "green_trips", replace(TABLES["green_trips"], schema=older.schema))
        for warehouse in (world.postgres, world.bigquery):
            warehouse.replace_month(older, MARCH, file, manifest)
    # The step that comes with the new contract.
    steps = [*MIGRATIONS, Migration(len(MIGRATIONS) + 1, "contract 2", follow_contract)]
    monkeypatch.setattr(postgres_module, "migrate", lambda connection: migrate(connection, steps))
    assert world.run("green", APRIL).success
    totals = world.totals("green", APRIL)
    assert totals["bigquery"] == totals["postgres"] == totals["lake"]


def test_a_bigquery_dataset_elsewhere_is_named(world: World):
    assert world.run("green", APRIL).success
    world.resources["bigquery"] = changed(world.bigquery, location="EU")
    fails(world, ["is in US and not in EU", "TAXI_BIGQUERY_LOCATION"], False, "bigquery_table")
