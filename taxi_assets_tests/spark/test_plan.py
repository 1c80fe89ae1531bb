"""What the script is given: the marts' own SQL, the contract's schema, and nothing of the package."""

import ast
import json
import sys
from datetime import date
from pathlib import Path

import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.marts.catalog import catalog
from taxi_assets.spark import history
from taxi_assets.spark.plan import build_plan, schema_text
from taxi_assets.spark.tables import HISTORY_TABLES

MONTHS = [date(2023, 1, 1), date(2023, 2, 1)]


@pytest.mark.parametrize("dataset", DATASETS)
def test_a_plan_is_json_and_names_what_is_read_and_written(dataset: str) -> None:
    plan = build_plan(
        DATASETS[dataset], MONTHS, ["gs://b/one", "gs://b/two"], "gs://b/out", {"spark.master": "local[1]"}
    )
    assert json.loads(json.dumps(plan)) == plan
    assert plan["tables"].keys() == HISTORY_TABLES.keys()
    assert plan["conf"]["spark.sql.session.timeZone"] == "UTC"
    assert [name for name, view in plan["views"].items() if view["small"]] == ["zone_pieces"]
    for table in plan["tables"].values():
        assert "source_month IN (DATE '2023-01-01', DATE '2023-02-01')" in " ".join(table["sql"].split())
        assert f"{dataset}_trips" in table["sql"]
        assert not {"{{", "{%", "bigint", "FLOAT64"} & set(table["sql"].split())


def test_times_are_those_of_the_wall_clock() -> None:
    for dataset in DATASETS.values():
        types = dict(part.split("` ") for part in schema_text(dataset.schema).replace(", `", "\n`")[1:].split("\n`"))
        assert list(types) == list(dataset.schema.names)
        assert types["pickup_datetime"] == "TIMESTAMP_NTZ"
        assert "TIMESTAMP" not in types.values()


def test_tables_of_facts_have_the_columns_of_the_marts() -> None:
    for name, table in HISTORY_TABLES.items():
        if table.fact:
            assert table.table.schema.names == tuple(catalog().models[table.fact].columns), name
        assert set(table.key) <= set(table.table.schema.names)


def test_a_year_of_a_dataset_is_replaced_and_no_other() -> None:
    [hours, pairs] = [HISTORY_TABLES[name].year("green", 2023) for name in ("zone_hour", "pair_year")]
    assert hours.condition == "dataset = 'green' AND source_month BETWEEN DATE '2023-01-01' AND DATE '2023-12-31'"
    assert pairs.condition == "dataset = 'green' AND year = 2023"
    assert hours.name == pairs.name == "green_2023"


def test_the_script_imports_what_a_cluster_has() -> None:
    tree = ast.parse(Path(history.__file__).read_text(encoding="utf-8"))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]  # type: ignore[union-attr]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported - sys.stdlib_module_names == {"pyspark", "dagster_pipes", "google"}


def test_a_reason_is_without_javas_stack() -> None:
    text = (
        "An error occurred.\n: org.apache.spark.SparkException: Job aborted.\n\tat org.apache.spark.Foo(Foo.scala:1)\n"
    )
    assert history.reason(Exception(text)) == "An error occurred. : org.apache.spark.SparkException: Job aborted."
    assert history.reason(ValueError()) == "ValueError"
