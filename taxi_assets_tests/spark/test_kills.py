"""A year whose making is killed, or says nothing at its end, fails the step; the year that was there stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.history import build_history_year
from taxi_assets.spark import engine
from taxi_assets.spark.store import find_year
from taxi_assets_tests.conftest import World, failure, instance
from taxi_assets_tests.support.java import java_killed_when, needs_java

pytestmark = [needs_java, pytest.mark.usefixtures("one_table")]
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def make(world: World) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [build_history_year(DATASETS["green"])],
        partition_key="2020",
        resources=world.resources,
        run_config=QUIET,
        instance=instance(),
        raise_on_error=False,
    )


def everything(world: World) -> dict[str, Any]:
    return {item.name: item.crc32c for item in world.lake.list("history/")}


def is_writing(world: World) -> Callable[[], bool]:
    scratch = Path(world.settings.data_dir) / "tmp"
    return lambda: any(scratch.glob("*/out/*"))


def test_a_year_is_made_and_stays_as_it_was_when_java_is_killed_or_nothing_is_said(
    green: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make(green).success
    before, [_, year] = everything(green), find_year(green.lake, "green", 2020)
    assert year.tables["payment_month"].object in before

    for moment in (lambda: True, is_writing(green)):
        with java_killed_when(moment) as killed:
            result = make(green)
        assert killed
        assert failure(result).startswith("Spark on green 2020 failed with code ")
        assert "The year that was there stays" in failure(result)
        assert everything(green) == before

    script = tmp_path / "silent.py"
    script.write_text("from dagster_pipes import open_dagster_pipes\nwith open_dagster_pipes():\n    pass\n")
    monkeypatch.setattr(engine, "SCRIPT", script)
    result = make(green)
    assert "ended without its final message with the rows of each table" in failure(result)
    assert everything(green) == before
    assert find_year(green.lake, "green", 2020)[1] == year
    assert list((Path(green.settings.data_dir) / "tmp").glob("*")) == []
