"""Marts made again, killed at any moment, two at once, emptied: they end as a build from nothing would."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.marts import manifests_of
from taxi_assets.defs.assets.zones import build_zones
from taxi_assets.errors import ServiceUnavailableError
from taxi_assets.local.state import identity
from taxi_assets.marts import runner
from taxi_assets.marts.catalog import catalog
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.marts.conftest import APRIL, WAREHOUSES, marts_of
from taxi_assets_tests.support.marts_run import start_run
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

GREEN, MAY = DATASETS["green"], date(2020, 5, 1)
# Of the statements of a run: early, after some tables, and after most of them.
MOMENTS = (2, 9, 14)
Rows = dict[tuple[str, date], list[str]]


@pytest.fixture(scope="module")
def town(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world with two months of green and no marts."""
    world = make_world(services, tmp_path_factory.mktemp("kills") / "data")
    for month in (APRIL, MAY):
        assert world.run("green", month).success
    return world


@pytest.fixture(params=WAREHOUSES)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    return name


def held(world: World, name: str) -> Rows:
    """Return all rows of each table and month, as texts in an order."""
    marts, found = marts_of(world, name), {}
    for model in catalog().facts:
        at = list(model.columns).index("source_month")
        _, rows = marts.query(f"SELECT {', '.join(model.columns)} FROM {marts.name(model.name)}")
        for month in (APRIL, MAY):
            found[model.name, month] = sorted(str(row) for row in rows if row[at] == month)
    return found


def make(world: World, name: str, *months: date) -> None:
    """Make marts with what the asset gives them: the manifests too, which `quality_month` counts from."""
    marts_of(world, name).make_months(GREEN, months, manifests_of(world.lake, GREEN, list(months)))


def fresh(world: World, name: str) -> Rows:
    """Return what a build from nothing gives."""
    marts_of(world, name).drop_tables()
    make(world, name, APRIL, MAY)
    return held(world, name)


def delete(world: World, name: str, month: date, condition: str) -> None:
    """Correct a month as a smaller file would, in the table of trips alone."""
    table = world.resources[name].table(GREEN)
    statement = f"DELETE FROM {{}} WHERE source_month = DATE '{month}' AND {condition}"
    if name == "bigquery":
        marts_of(world, name).query(statement.format(f"`{table}`"))
        return
    with world.postgres.connect() as connection:
        connection.execute(statement.format(table).encode())


def test_corrected_killed_two_at_once_and_emptied(town: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    together(lambda: make(town, name, APRIL), lambda: make(town, name, MAY))
    old = held(town, name)
    assert all(old.values())

    delete(town, name, APRIL, "total_amount > 20")
    for moment in MOMENTS:
        with monkeypatch.context() as killing:
            command = (sys.executable, "-m", "taxi_assets_tests.support.marts_process", str(moment))
            killing.setattr(runner, "PROCESS", command)
            with pytest.raises(ServiceUnavailableError, match="killed by signal 9"):
                make(town, name, APRIL)
    killed = held(town, name)
    # Two at once for the month, which is also the run after a kill.
    together(*[lambda: make(town, name, APRIL)] * 2)
    corrected = held(town, name)
    assert corrected == fresh(town, name)
    assert corrected["fct_zone_hour", APRIL] != old["fct_zone_hour", APRIL]
    # Each table was wholly the old or the new one, and no other month was touched.
    mixed = {key: rows for key, rows in killed.items() if rows not in (old[key], corrected[key])}
    assert {k: (v[:9], old[k][:9], corrected[k][:9]) for k, v in mixed.items()} == {}
    assert {key: killed[key] for key in killed if key[1] == MAY} == {key: old[key] for key in old if key[1] == MAY}

    delete(town, name, APRIL, "TRUE")
    make(town, name, APRIL)
    assert held(town, name) == {key: [] if key[1] == APRIL else rows for key, rows in corrected.items()}


def test_a_run_that_is_killed_takes_dbt_with_it_and_the_next_one_finishes(
    town: World, name: str, tmp_path: Path
) -> None:
    """In May, as the test before has emptied April."""
    make(town, name, APRIL, MAY)
    old = held(town, name)
    delete(town, name, MAY, "passenger_count = 2")
    reached = tmp_path / "reached"
    run = start_run(town.settings, town.postgres_url, name, MAY, MOMENTS[-1], reached)
    wait_for(reached.exists, "the statement at which dbt hangs")
    run.kill()
    run.join(HANG_SECONDS)
    wait_for(lambda: identity(int(reached.read_text())) is None, "the end of dbt")
    killed = held(town, name)
    make(town, name, MAY)
    corrected = held(town, name)
    assert corrected == fresh(town, name)
    assert corrected["fct_zone_hour", MAY] != old["fct_zone_hour", MAY]
    assert [key for key, rows in killed.items() if rows not in (old[key], corrected[key])] == []


def test_without_shapes_a_month_of_coordinates_has_marts_and_with_them_zones(town: World) -> None:
    month = date(2014, 1, 1)
    assert town.run("green", month).success
    marts = marts_of(town, "postgres")
    query = (
        "SELECT SUM(trips), SUM(CASE WHEN pickup_zone_by_coordinates > 0 THEN trips END), COUNT(pickup_location_id) "
        f"FROM {marts.name('fct_zone_hour')} WHERE source_month = DATE '{month}'"
    )
    marts.make_months(GREEN, [month])
    [(trips, found, ids)] = marts.query(query)[1]
    assert (trips > 0, found, ids) == (True, None, 0)
    assert dg.materialize([build_zones()], resources=town.resources).success
    marts.make_months(GREEN, [month])
    [(again, found, ids)] = marts.query(query)[1]
    # The sample's other trips are those whose meter had no signal, at 0, 0.
    assert (again, ids) == (trips, 0)
    assert 0.9 * int(trips) < found < trips


def together(*acts: Any) -> None:
    with ThreadPoolExecutor(len(acts)) as pool:
        for done in [pool.submit(act) for act in acts]:
            done.result()
