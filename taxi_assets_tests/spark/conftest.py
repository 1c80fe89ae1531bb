"""A real month of green in a lake, and few tables to make of it."""

from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest

from taxi_assets.settings import Settings
from taxi_assets.spark import plan
from taxi_assets.spark.tables import HISTORY_TABLES
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.support.java import QUICK

APRIL = date(2020, 4, 1)
# Without pyspark, which `make test` installs, these cannot even be imported.
collect_ignore_glob = [] if find_spec("pyspark") else ["test_*.py"]


@pytest.fixture(scope="module")
def green(services: Settings, tlc: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world whose lake has a real month of green."""
    world = make_world(services, tmp_path_factory.mktemp("green") / "data")
    found = world.with_source(f"file://{tlc}/trips/{{dataset}}_tripdata_{{month}}.parquet")
    assert found.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    return found


@pytest.fixture
def one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make one table alone, by a Java that does not compile what runs once."""
    monkeypatch.setattr(plan, "HISTORY_TABLES", {"payment_month": HISTORY_TABLES["payment_month"]})
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
