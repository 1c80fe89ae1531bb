"""A year whose making is killed, or says nothing at its end, fails the step; the year that was there stays."""

import random
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.assets.history import build_history_tables, build_history_year
from taxi_assets.marts.marts import Marts
from taxi_assets.resources.warehouse import WAREHOUSES
from taxi_assets.spark import engine
from taxi_assets.spark.store import find_year
from taxi_assets_tests.conftest import World, failure, instance
from taxi_assets_tests.spark.conftest import APRIL
from taxi_assets_tests.support.java import java_processes, killed_when, needs_java, script_processes

pytestmark = [needs_java, pytest.mark.usefixtures("one_table")]
# One in each part of the time that a year takes; the seed draws the moment and which process is killed.
KILLS, SEED = 5, 20
MAY = date(2020, 5, 1)
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


def make(world: World, *others: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [build_history_year(DATASETS["green"]), *others],
        partition_key="2020",
        resources=world.resources,
        run_config=QUIET,
        instance=instance(),
        raise_on_error=False,
    )


def everything(world: World) -> dict[str, Any]:
    return {item.name: item.crc32c for item in world.lake.list("history/")}


def held(world: World) -> dict[str, Any]:
    """Return the rows of the year's table, where they are: in the lake and in both warehouses."""
    _, year = find_year(world.lake, "green", 2020)
    found = {"lake": pq.read_table(world.lake.fetch(year.tables["payment_month"].object)).to_pylist()}
    for name in WAREHOUSES:
        full = str(world.resources[name].table(DATASETS["green"]))
        table = full.removesuffix("green_trips") + "history_payment_month"
        query = f"SELECT * FROM {f'`{table}`' if name == 'bigquery' else table} ORDER BY 1, 2, 3, 4"
        columns, rows = Marts(world.resources[name], Path(world.settings.data_dir).parent / "dbt").query(query)
        found[name] = [dict(zip(columns, row, strict=True)) for row in rows]
    return found


def trips(rows: list[dict[str, Any]]) -> int:
    return sum(row["trips"] for row in rows)


def kept_rows(world: World, month: date) -> int:
    return int(pq.ParquetFile(world.lake.fetch(clean_object("green", month))).metadata.num_rows)


def has_passed(moment: float) -> bool:
    return time.monotonic() >= moment


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
        with killed_when(moment) as killed:
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


def test_a_year_is_the_old_or_the_new_one_everywhere_when_spark_is_killed_at_any_time(green: World, tlc: Path) -> None:
    loads = [build_history_tables(DATASETS["green"], name) for name in WAREHOUSES]
    assert make(green, *loads).success
    started = time.monotonic()
    assert make(green).success
    took = time.monotonic() - started
    old = held(green)
    assert [trips(rows) for rows in old.values()] == [kept_rows(green, APRIL)] * 3

    of_may = green.with_source(f"file://{tlc}/trips/{{dataset}}_tripdata_{{month}}.csv.gz")
    assert of_may.run("green", MAY, "raw_file", "clean_parquet", "gcs_object").success
    both = [kept_rows(green, APRIL) + kept_rows(green, MAY)] * 3
    draws, failed = random.Random(SEED), 0
    for part in range(KILLS):
        moment = took * (part + draws.random()) / KILLS
        processes = draws.choice([java_processes, script_processes])
        is_over = partial(has_passed, time.monotonic() + moment)
        with killed_when(is_over, processes):
            result = make(green, *loads)
        if result.success:
            # The moment came when nothing was left to be killed: the year is the new one everywhere.
            old = held(green)
            assert [trips(rows) for rows in old.values()] == both, moment
            continue
        assert failure(result).startswith("Spark on green 2020 failed with code "), moment
        assert held(green) == old, moment
        failed += 1
    assert failed
    assert make(green, *loads).success
    new = held(green)
    assert [trips(rows) for rows in new.values()] == both
    assert list((Path(green.settings.data_dir) / "tmp").glob("*")) == []
