"""Marts in both warehouses equal what DuckDB counts over the lake, and end as a build from nothing would."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.assets.marts import manifests_of
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.marts.catalog import catalog
from taxi_assets.marts.marts import Marts
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.support import marts_counting as counting

GREEN, APRIL = "green", date(2020, 4, 1)
MONTHS = [
    (GREEN, APRIL),
    ("yellow", date(2015, 1, 1)),
    ("yellow", date(2025, 1, 1)),
    ("fhv", date(2019, 3, 1)),
    ("fhvhv", date(2021, 6, 1)),
]
WAREHOUSES = ("postgres", "bigquery")


@pytest.fixture(scope="module")
def filled(services: Settings, tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world with real months of green, sample months of all datasets, and their marts."""
    world = make_world(services, tmp_path_factory.mktemp("marts"))
    real = world.with_source(f"file://{tlc}/trips/{{dataset}}_tripdata_{{month}}.parquet")
    assert dg.materialize([build_zones()], resources=world.resources).success
    for dataset, month in MONTHS:
        assert (real if dataset == GREEN else world).run(dataset, month).success
    for name in WAREHOUSES:
        for dataset in DATASETS.values():
            months = [month for d, month in MONTHS if d == dataset.name]
            manifests = manifests_of(world.lake, dataset, months)
            tests = marts_of(world, name).make_months(dataset, months, manifests)
            assert {test.name for test in tests} == set(catalog().tests)
            assert [test for test in tests if test.status != "pass"] == []
        marts_of(world, name).make_views()
    return world


def marts_of(world: World, name: str) -> Marts:
    return Marts(world.resources[name], Path(world.settings.data_dir) / "dbt")


def plain(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return rows with numbers that compare alike."""
    return [tuple(round(v, 4) if isinstance(v, float | Decimal) else v for v in row) for row in rows]


@pytest.mark.parametrize("name", WAREHOUSES)
@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_every_additive_measure_is_duckdbs(filled: World, name: str, dataset: str, month: date) -> None:
    file = filled.lake.fetch(clean_object(dataset, month))
    marts = marts_of(filled, name)
    _, found = marts.query(
        f"SELECT {', '.join(counting.COLUMNS)} FROM {marts.name('fct_zone_hour')} "
        f"WHERE dataset = '{dataset}' AND source_month = DATE '{month}'"
    )
    order = [(r[0], r[1], r[2], -1 if r[3] is None else r[3]) for r in found]
    found = [row for _, row in sorted(zip(order, found, strict=True), key=lambda pair: pair[0])]
    assert plain(found) == plain(counting.zone_hours(file, dataset))


@pytest.mark.parametrize("name", WAREHOUSES)
def test_percentiles_of_green_2020_04_are_those_known(filled: World, name: str) -> None:
    marts = marts_of(filled, name)
    _, [found] = marts.query(
        f"SELECT p97, p95, p90 FROM {marts.name('fct_month_quantiles')} "
        f"WHERE dataset = 'green' AND source_month = DATE '{APRIL}' AND measure = 'fare_usd'"
    )
    assert found == (Decimal("55.0"), Decimal("45.5"), Decimal("27.0"))
