"""What every warehouse does with a month: what it rejects, what a rerun replaces, and what stays as it was."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Manifest, Totals
from taxi_assets.contract.object_names import clean_object
from taxi_assets.contract.schemas import Schema
from taxi_assets.contract.tables import TABLES
from taxi_assets.resources import postgres as postgres_module
from taxi_assets.resources.postgres_tables import MIGRATIONS, Migration, follow_contract, migrate
from taxi_assets.resources.source import SourceResource
from taxi_assets.resources.warehouse import WAREHOUSES, Warehouse
from taxi_assets.sample.maker import SampleFiles
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.http_server import FileServer
from taxi_assets_tests.support.versions import APRIL, everywhere, fails, held, version

GREEN = DATASETS["green"]
MARCH = date(2020, 3, 1)
NAMES = tuple(warehouse.asset_name for warehouse in WAREHOUSES.values())
BY_MONTH = "SELECT source_month, count(*) FROM {} GROUP BY source_month ORDER BY source_month"


def warehouse(world: World, name: str) -> Warehouse:
    """Return the warehouse that the asset `name` loads."""
    found: Warehouse = world.resources[name.removesuffix("_table")]
    return found


def query(world: World, name: str, sql: str, dataset: str = "green") -> list[tuple[Any, ...]]:
    """Run a statement on a warehouse's table of the dataset, and return its rows."""
    if name == "postgres_table":
        with world.postgres.connect() as connection:
            cursor = connection.execute(sql.format(f"taxi.{dataset}_trips"))  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []
    with world.bigquery.get_client() as client:
        table = world.bigquery.table(DATASETS[dataset])
        return [tuple(row.values()) for row in client.query(sql.format(f"`{table}`")).result()]


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("change", "difference"), [({"rows": 1}, "rows"), ({"cents": -5}, "cents of fare_amount")])
def test_what_differs_from_the_lake_is_not_published(world: World, name: str, change: Any, difference: str):
    assert world.run("green", APRIL).success
    before = held(world)
    tamper(world, **change)
    fails(world, [difference, "than the lake holds it", "Nothing was published"], True, name)
    assert held(world) == before
    assert not world.leftovers()


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_were_exchanged_in_the_lake_are_not_published(world: World, name: str, tmp_path: Path):
    assert world.run("green", APRIL).success
    before = world.totals("green", APRIL)
    other = pq.read_table(world.lake.fetch(clean_object("green", APRIL))).slice(1)
    pq.write_table(other, tmp_path / "other.parquet")
    tamper(world, content=(tmp_path / "other.parquet").read_bytes())
    fails(world, ["rows", "Nothing was published"], True, name)
    after = world.totals("green", APRIL)
    assert (after["bigquery"], after["postgres"]) == (before["bigquery"], before["postgres"])
    assert after["lake"].rows == before["lake"].rows - 1
    assert not world.leftovers()


@pytest.mark.parametrize("name", NAMES)
def test_an_object_that_lost_its_metadata_is_not_loaded(world: World, name: str):
    """As when a file is copied over it by hand."""
    assert world.run("green", APRIL).success
    before = held(world)
    published = clean_object("green", APRIL)
    data = world.lake.fetch(published).read_bytes()
    world.lake._bucket.blob(published).upload_from_string(data)
    fails(world, ["overwritten by hand", "materialize green/clean_parquet"], False, name)
    assert world.run("green", APRIL).success
    assert held(world) == before


def test_a_month_is_replaced_whole(world: World, server: FileServer):
    """Rows of the older file go, whatever their pickup time is, and those of the newer one come once."""
    found = world.with_source(server.url("/green_{month}.csv.gz"))
    for rows in (400, 300, 500):
        server.put("green_2020-04.csv.gz", version(rows).data)
        assert found.run("green", APRIL).success
        assert held(found) == everywhere(version(rows))
        # In the whole table, under whatever month.
        counts = [query(found, name, "SELECT count(*) FROM {}") for name in NAMES]
        assert counts == [[(version(rows).kept.rows,)]] * len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_month_is_not_loaded_again_from_the_same_object_while_its_totals_are_right(world: World, name: str):
    home = dg.DagsterInstance.ephemeral()

    def loads(**run_config: Any) -> list[bool]:
        result = world.run("green", APRIL, home=home, **run_config)
        assert result.success
        events = [result.asset_materializations_for_node(f"green__{asset}")[0] for asset in NAMES]
        return [bool(event.metadata["loaded"].value) for event in events]

    assert loads() == [True, True]
    as_loaded = world.totals("green", APRIL)
    assert loads() == [False, False]
    query(world, name, "UPDATE {} SET tip_amount = tip_amount + 1 WHERE true")
    assert loads() == [asset == name for asset in NAMES]
    assert world.totals("green", APRIL) == as_loaded
    ops = {f"green__{asset}": {"config": {"force": True}} for asset in NAMES}
    assert loads(run_config={"ops": ops}) == [True, True]
    # Another machine's Dagster, which does not know what was loaded.
    home = dg.DagsterInstance.ephemeral()
    assert loads() == [True, True]


@pytest.mark.parametrize("name", NAMES)
def test_a_stray_pickup_is_not_doubled(world: World, name: str, server: FileServer, tmp_path: Path):
    """The file's month is what a rerun replaces; one of its trips began on the last day of the month before."""
    found = world.with_source(server.url("/green_{month}.parquet"))
    for month in (MARCH, APRIL):
        server.put(f"green_{month:%Y-%m}.parquet", version(200, "parquet", month).data)
    path = server.folder / "green_2020-04.parquet"
    table = pq.read_table(path)
    for column in ("lpep_pickup_datetime", "lpep_dropoff_datetime"):
        at = table.schema.get_field_index(column)
        values = table.column(column).to_pylist()
        values[10] = values[10].replace(month=3, day=31)
        table = table.set_column(at, table.field(at), [values])
    pq.write_table(table, path)
    counts = []
    for _ in range(2):
        for month in (MARCH, APRIL):
            assert found.run("green", month).success
        counts.append(query(found, name, BY_MONTH))
        totals = found.totals("green", APRIL)
        assert totals[name.removesuffix("_table")] == totals["lake"]
    assert counts[0] == counts[1]
    first_pickup = warehouse(found, name).month_totals(GREEN, APRIL).first_pickup
    assert first_pickup is not None
    assert first_pickup.month == 3


def test_the_newest_raw_file_of_a_month_counts(world: World, server: FileServer):
    """A month's file may change its name, as when the mirror turned from CSV to Parquet, and change back."""
    for rows, ending in ((300, "csv.gz"), (310, "parquet"), (320, "csv.gz")):
        server.put(f"green_2020-04.{ending}", version(rows, ending).data)
        assert world.with_source(server.url("/green_{month}." + ending)).run("green", APRIL).success
        assert held(world) == everywhere(version(rows, ending))
    assert len(list(world.lake.list("raw/"))) == 2


@pytest.mark.parametrize("name", NAMES)
def test_two_eras_in_one_table(world: World, name: str):
    """2009 has coordinates and vendor names, 2024 has zones and more fees: the columns and their types are the same."""
    months = (date(2009, 1, 1), date(2024, 1, 1))
    source = SourceResource(templates="sample", sample=SampleFiles(), sample_rows=500)
    small = replace(world, resources=world.resources | {"source": source})
    for month in months:
        assert small.run("yellow", month).success
    kept = [(month, world.totals("yellow", month)["lake"].rows) for month in months]
    assert query(world, name, BY_MONTH, "yellow") == kept
    schemas = [pq.read_schema(world.lake.fetch(clean_object("yellow", month))) for month in months]
    assert schemas[0].remove_metadata() == schemas[1].remove_metadata() == DATASETS["yellow"].schema.arrow


@pytest.mark.parametrize("name", NAMES)
def test_a_column_that_the_contract_wins_is_added_to_the_table(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
):
    """The table was made before TLC added the column: the month in it stays, with NULL."""
    older = replace(GREEN, schema=Schema(tuple(c for c in GREEN.schema.columns if c.name != "cbd_congestion_fee")))
    empty = world.settings.data_dir / "older.parquet"
    empty.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(older.schema.arrow.empty_table(), empty)
    nothing = Totals(cents=dict.fromkeys(older.schema.money, 0))
    manifest = Manifest("green", MARCH, "1", "", "", 0, "", "", {}, {}, [], nothing)
    file = world.lake.file(world.lake.put(empty, "older.parquet", {}))
    with monkeypatch.context() as before:
        before.setitem(TABLES, "green_trips", replace(TABLES["green_trips"], schema=older.schema))
        warehouse(world, name).replace_month(older, MARCH, file, manifest)
    # The step that comes with the new contract.
    steps = [*MIGRATIONS, Migration(len(MIGRATIONS) + 1, "contract 2", follow_contract)]
    monkeypatch.setattr(postgres_module, "migrate", lambda connection: migrate(connection, steps))
    assert world.run("green", APRIL).success
    totals = world.totals("green", APRIL)
    assert totals["bigquery"] == totals["postgres"] == totals["lake"]
