"""The zone lookup and the zones' shapes in the lake and both warehouses, from every known variant."""

import json
import zipfile
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.object_names import ZONE_AREAS_OBJECT, ZONE_SHAPES_OBJECT, ZONES_OBJECT
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.sample.maker import SampleFiles
from taxi_assets_tests.conftest import World, failure


def run(world: World):
    return dg.materialize(
        [build_zones()], resources=world.resources, instance=dg.DagsterInstance.ephemeral(), raise_on_error=False
    )


def zones_of(world: World) -> list[list[tuple]]:
    """All zones as the lake, BigQuery and PostgreSQL hold them."""
    lake = [tuple(row.values()) for row in pq.read_table(world.lake.fetch(ZONES_OBJECT)).to_pylist()]
    with world.bigquery.get_client() as client:
        name = f"{world.settings.gcp_project}.{world.settings.bigquery_dataset}.zones"
        bigquery = [
            tuple(row.values()) for row in client.query(f"SELECT * FROM `{name}` ORDER BY location_id").result()
        ]
    with world.postgres.connect() as connection:
        postgres = connection.execute("SELECT * FROM taxi.zones ORDER BY location_id").fetchall()
    return [lake, bigquery, postgres]


def test_the_sample_lookup_is_everywhere_once(world: World):
    assert run(world).success
    assert run(world).success
    lake, bigquery, postgres = zones_of(world)
    assert [row[0] for row in lake] == list(range(1, 266))
    assert lake == bigquery == postgres
    assert not world.leftovers()


def test_all_variants_of_the_real_lookup_are_alike(world: World, tlc: Path):
    found = []
    for name in ("taxi_zone_lookup.csv", "taxi_zone_lookup_older.csv"):
        real = world.with_source("sample", zones=f"file://{tlc}/zones/{name}", sample=SampleFiles())
        assert run(real).success
        found += zones_of(real)
    assert all(rows == found[0] for rows in found)
    assert found[0][131] == (132, "Queens", "JFK Airport", "Airports")
    assert found[0][264] == (265, None, None, None)


def areas_of(world: World) -> list[list[tuple]]:
    """Areas and centroids as the lake, BigQuery and PostgreSQL hold them."""
    lake = [tuple(row.values()) for row in pq.read_table(world.lake.fetch(ZONE_AREAS_OBJECT)).to_pylist()]
    with world.bigquery.get_client() as client:
        name = f"{world.settings.gcp_project}.{world.settings.bigquery_dataset}.zone_areas"
        bigquery = [tuple(row.values()) for row in client.query(f"SELECT * FROM `{name}` ORDER BY 1").result()]
    with world.postgres.connect() as connection:
        return [lake, bigquery, connection.execute("SELECT * FROM taxi.zone_areas ORDER BY 1").fetchall()]


def test_the_real_shapes_are_in_the_lake_and_their_areas_in_both_warehouses(world: World, tlc: Path, tmp_path: Path):
    path = tmp_path / "shapes.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in (tlc / "zones" / "shapes").iterdir():
            archive.write(part, part.name)
    assert run(world.with_source("sample", zone_shapes=f"file://{path}", sample=SampleFiles())).success
    lake, bigquery, postgres = areas_of(world)
    assert lake == bigquery == postgres
    assert [row[0] for row in lake] == list(range(1, 264))
    shapes = json.loads(world.lake.fetch(ZONE_SHAPES_OBJECT).read_text())
    names = {f["properties"]["location_id"]: f["properties"]["zone"] for f in shapes["features"]}
    assert names[74] == "East Harlem North"
    assert world.lake.find("raw/zones/taxi_zones.zip").metadata["source_url"].endswith("/shapes.zip")
    # Other shapes replace them; a file that is none changes nothing.
    assert run(world).success
    sample = areas_of(world)
    assert sample[0] == sample[1] == sample[2] != lake
    path.write_bytes(b"PK\x03\x04")
    assert "no ZIP archive" in failure(
        run(world.with_source("sample", zone_shapes=f"file://{path}", sample=SampleFiles()))
    )
    assert areas_of(world) == sample


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("LocationID,Borough\n1,Bronx\n", "lacks zone, service_zone"),
        ("LocationID,Borough,Zone,service_zone\n1,Bronx,A,B\n", "differs in"),
        ("LocationID,Borough,Zone,service_zone\nx,Bronx,A,B\n", "no number"),
        ("LocationID,Borough,Zone,service_zone\n1,Bronx\n", "has not 4 fields"),
        ("LocationID,Borough,Zone,service_zone\n1,Bronx,A,B,C\n", "has not 4 fields"),
        ("LocationID,Borough,Zone,service_zone\n1,Br\udcffnx,A,B\n", "no CSV file that can be read"),
    ],
)
def test_a_lookup_that_is_none_leaves_the_tables_as_they_were(world: World, tmp_path: Path, text: str, words: str):
    assert run(world).success
    before = zones_of(world)
    (tmp_path / "zones.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert words in failure(
        run(world.with_source("sample", zones=f"file://{tmp_path}/zones.csv", sample=SampleFiles()))
    )
    assert zones_of(world) == before
