"""Spark's figures are the marts', in the lake and in both warehouses."""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import dagster as dg
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import ZONE_PIECES_OBJECT, clean_object
from taxi_assets.defs.assets.history import build_history_tables, build_history_year
from taxi_assets.marts.make_catalog import code_of, compile_project, parse_project
from taxi_assets.marts.render import render_fact
from taxi_assets.spark import local
from taxi_assets.spark.plan import build_plan
from taxi_assets.spark.store import HistoryYear, find_year
from taxi_assets.spark.tables import HISTORY_TABLES, PERCENTS
from taxi_assets_tests.conftest import World, failure, instance
from taxi_assets_tests.marts.conftest import MONTHS, WAREHOUSES, marts_of
from taxi_assets_tests.marts.test_marts import rows_of, same
from taxi_assets_tests.support.java import QUICK, needs_java

FACTS = {table.name: table for table in HISTORY_TABLES.values() if table.fact}
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
YEAR = "2020"


@pytest.fixture(autouse=True)
def quick_java(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)


@pytest.mark.long
def test_rendered_sql_is_what_dbt_compiles() -> None:
    compiled = compile_project(parse_project(), "yellow")
    for table in FACTS.values():
        assert table.fact is not None
        wanted = code_of(compiled, table.fact).replace('"taxi"."taxi".', "").replace('"', "")
        found = render_fact(table.fact, "postgres", "yellow", [date(2009, 1, 1)])
        assert found.split() == wanted.split()


@pytest.fixture(scope="module")
def made(filled: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of each dataset's tables, all of its months together, made with one start of Spark."""
    folder = tmp_path_factory.mktemp("history")
    plans = []
    for dataset in DATASETS.values():
        months = [month for d, month in MONTHS if d == dataset.name]
        files = [str(filled.lake.fetch(clean_object(dataset.name, month))) for month in months]
        conf = local.configuration(folder / "spark") | {"spark.sql.shuffle.partitions": "2"}
        pieces = [str(filled.lake.fetch(ZONE_PIECES_OBJECT))]
        plans.append(build_plan(dataset, months, files, str(folder / dataset.name), conf, pieces))
    path = folder / "plans.json"
    path.write_text(json.dumps(plans))
    command = [sys.executable, "-m", "taxi_assets_tests.support.spark_years", str(path)]
    environment = {**os.environ, **local.environment(folder / "spark"), **QUICK}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return {name: folder / name for name in DATASETS}


@needs_java
@pytest.mark.parametrize(("dataset", "month"), MONTHS)
def test_every_measure_is_the_marts(filled: World, made: dict[str, Path], dataset: str, month: date) -> None:
    for name, table in FACTS.items():
        columns = table.table.schema.names
        rows = pq.read_table(made[dataset] / name, filters=pc.field("source_month") == month).select(columns)
        found = list(zip(*rows.to_pydict().values(), strict=True))
        for warehouse in WAREHOUSES:
            same(found, rows_of(marts_of(filled, warehouse), str(table.fact), list(columns), dataset, month))


@needs_java
@pytest.mark.parametrize("dataset", DATASETS)
def test_percentiles_of_pairs_and_years_are_postgresqls(filled: World, made: dict[str, Path], dataset: str) -> None:
    parts = ", ".join(f"percentile_cont({p / 100}) WITHIN GROUP (ORDER BY value)" for p in PERCENTS)
    values = {
        "duration_s": "duration_s",
        "distance_mi": "floor(distance_mi * 1000 + 0.5) / 1000",
        "fare_usd": "floor(fare_usd * 100 + 0.5) / 100",
        "total_usd": "floor(total_usd * 100 + 0.5) / 100",
    }
    columns = ["year", "pickup_location_id", "dropoff_location_id", "measure"]
    table = pq.read_table(made[dataset] / "pair_year").select([*columns, "trips", *(f"p{p}" for p in PERCENTS)])
    found = {row[:4]: row[4:] for row in zip(*table.to_pydict().values(), strict=True)}
    wanted = {}
    for measure, value in values.items():
        _, rows = marts_of(filled, "postgres").query(
            f"SELECT year, pickup_location_id, dropoff_location_id, count(*), {parts} FROM ("
            "SELECT CAST(EXTRACT(YEAR FROM source_month) AS int) AS year, "
            "COALESCE(pickup_location_id, pickup_zone_by_coordinates) AS pickup_location_id, "
            "COALESCE(dropoff_location_id, dropoff_zone_by_coordinates) AS dropoff_location_id, "
            f"{value} AS value FROM taxi_marts.trips WHERE dataset = '{dataset}' AND is_plausible "
            "AND access_a_ride IS NOT TRUE) AS t WHERE value IS NOT NULL AND pickup_location_id IS NOT NULL "
            "AND dropoff_location_id IS NOT NULL GROUP BY 1, 2, 3"
        )
        wanted |= {(*row[:3], measure): row[3:] for row in rows}
    assert found.keys() == wanted.keys()
    assert found
    for key, (trips, *numbers) in found.items():
        assert trips == wanted[key][0], key
        # They have three decimals; interpolated floats may be rounded to the neighbour.
        assert [float(n) for n in numbers] == pytest.approx([float(n) for n in wanted[key][1:]], abs=0.00051), key


def make(world: World, *assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*assets],
        partition_key=YEAR,
        resources=world.resources,
        run_config=QUIET,
        instance=instance(),
        raise_on_error=False,
    )


@pytest.fixture(scope="module")
def green(filled: World) -> HistoryYear:
    """Return green's year of one real month, made through Dagster and loaded into both warehouses."""
    dataset = DATASETS["green"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setenv(name, value)
        result = make(
            filled, build_history_year(dataset), *(build_history_tables(dataset, name) for name in WAREHOUSES)
        )
    assert result.success
    return find_year(filled.lake, "green", int(YEAR))[1]


@needs_java
def test_a_year_is_in_the_lake_and_in_both_warehouses_as_the_marts_are(filled: World, green: HistoryYear) -> None:
    assert set(green.months) == {f"{month:%Y-%m}" for d, month in MONTHS if d == "green" and month.year == int(YEAR)}
    for name, file in green.tables.items():
        assert pq.ParquetFile(filled.lake.fetch(file.object)).metadata.num_rows == file.rows > 0
        assert file.object.startswith(f"history/green/{YEAR}/{green.version}/{name}/")
    for warehouse in WAREHOUSES:
        marts = marts_of(filled, warehouse)
        for table in FACTS.values():
            columns = list(table.table.schema.names)
            text = f"SELECT {', '.join(columns)} FROM {trips_home(filled, warehouse, table.table.name)}"
            same(marts.query(text)[1], rows_of(marts, str(table.fact), columns, "green", date(int(YEAR), 4, 1)))
        counted = marts.query(f"SELECT COUNT(*) FROM {trips_home(filled, warehouse, 'history_pair_year')}")[1]
        assert counted == [(green.tables["pair_year"].rows,)]


def trips_home(world: World, warehouse: str, table: str) -> str:
    """Return the full name of a table beside the tables of trips."""
    name = str(world.resources[warehouse].table(DATASETS["green"]))
    full = name.removesuffix("green_trips") + table
    return f"`{full}`" if warehouse == "bigquery" else full


def test_a_year_without_months_and_a_year_not_made_are_sentences(
    filled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "check_ready", lambda: None)
    dataset = DATASETS["fhv"]
    nothing = dg.materialize(
        [build_history_year(dataset)],
        partition_key="2017",
        resources=filled.resources,
        run_config=QUIET,
        instance=instance(),
        raise_on_error=False,
    )
    assert "has no month of fhv 2017; materialize fhv/gcs_object of its months first" in failure(nothing)
    early = make(filled, build_history_tables(dataset, "postgres"))
    assert f"history/fhv/{YEAR}/manifest.json is not there; materialize history/fhv of {YEAR} first" in failure(early)
