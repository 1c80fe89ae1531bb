"""Months of all four datasets with their marts in both warehouses, made once."""

from datetime import date, datetime
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.marts import manifests_of
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.marts.catalog import catalog
from taxi_assets.marts.marts import Marts
from taxi_assets.sample.maker import SampleFiles
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.contract.test_zone_shapes import packed_shapes

APRIL = date(2020, 4, 1)
# Whole real months, and of two others the day in which the clocks change, which is enough.
REAL = {
    ("green", date(2013, 8, 1)): "trips/{dataset}_tripdata_{month}.csv",
    ("green", APRIL): "trips/{dataset}_tripdata_{month}.parquet",
}
CLOCKS = [date(2025, 3, 9), date(2025, 11, 2)]
SAMPLE = [
    ("yellow", date(2015, 1, 1)),
    ("yellow", date(2025, 1, 1)),
    ("fhv", date(2015, 2, 1)),
    ("fhv", date(2019, 3, 1)),
    ("fhvhv", date(2019, 2, 1)),
    ("fhvhv", date(2021, 6, 1)),
    ("fhvhv", date(2025, 2, 1)),
]
MONTHS = [*REAL, *(("green", day.replace(day=1)) for day in CLOCKS), *SAMPLE]
WAREHOUSES = ("postgres", "bigquery")


def marts_of(world: World, name: str) -> Marts:
    return Marts(world.resources[name], Path(world.settings.data_dir).parent / "dbt")


@pytest.fixture(scope="package")
def filled(services: Settings, tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world with real and sample months and their marts, all months of a dataset in one run of dbt."""
    world = make_world(services, tmp_path_factory.mktemp("marts") / "data")
    shapes = f"file://{packed_shapes(tlc, tmp_path_factory.mktemp('shapes'))}"
    real_shapes = world.with_source("sample", zone_shapes=shapes, sample=SampleFiles())
    assert dg.materialize([build_zones()], resources=real_shapes.resources).success
    days = days_of_clocks(tlc, tmp_path_factory.mktemp("days"))
    sources = {("green", day.replace(day=1)): world.with_source(days) for day in CLOCKS}
    sources |= {key: world.with_source(f"file://{tlc}/{name}") for key, name in REAL.items()}
    for dataset, month in MONTHS:
        assert sources.get((dataset, month), world).run(dataset, month).success
    for name in WAREHOUSES:
        for dataset in DATASETS.values():
            months = [month for d, month in MONTHS if d == dataset.name]
            tests = marts_of(world, name).make_months(dataset, months, manifests_of(world.lake, dataset, months))
            assert {test.name for test in tests} == set(catalog().tests)
            assert [test for test in tests if test.status != "pass"] == []
        marts_of(world, name).make_views()
    return world


def days_of_clocks(tlc: Path, folder: Path) -> str:
    """Write the real trips of the days in which clocks change as files of their months; return their source."""
    for day in CLOCKS:
        name = f"green_tripdata_{day:%Y-%m}.parquet"
        table = pq.read_table(tlc / "trips" / name)
        days = pc.floor_temporal(table["lpep_pickup_datetime"], unit="day")
        pq.write_table(
            table.filter(pc.equal(days, pa.scalar(datetime(*day.timetuple()[:3]), days.type))), folder / name
        )
    return f"file://{folder}/{{dataset}}_tripdata_{{month}}.parquet"
