"""Datasets and tables in which months would not stay: found before anything is loaded."""

from datetime import UTC, datetime, timedelta

import pytest
from google.cloud import bigquery

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.errors import ServiceError
from taxi_assets.resources.bigquery_checks import dataset_problem, table_problem
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.versions import APRIL, fails

GREEN = DATASETS["green"]
DAY_MS = 86_400_000


@pytest.mark.parametrize("option", ["default_table_expiration", "default_partition_expiration"])
def test_a_dataset_that_deletes_is_refused(option: str):
    found = bigquery.Dataset("project.trips")
    found.location = "US"
    assert dataset_problem(found, "US") is None
    setattr(found, f"{option}_ms", 60 * DAY_MS)
    problem = dataset_problem(found, "US")
    assert problem is not None
    assert "60 days" in problem
    assert f"bq update --{option} 0 project:trips" in problem


def wanted() -> bigquery.Table:
    table = bigquery.Table("project.trips.green_trips", [bigquery.SchemaField("fare", "FLOAT64")])
    table.time_partitioning = bigquery.TimePartitioning("MONTH", "source_month")
    return table


def changed(name: str) -> bigquery.Table:
    """Return the table as somebody else made it."""
    table = wanted()
    if name == "expiry":
        table.expires = datetime.now(UTC) + timedelta(days=3)
    elif name == "partition expiry":
        table.time_partitioning = bigquery.TimePartitioning("MONTH", "source_month", expiration_ms=90 * DAY_MS)
    elif name == "not partitioned":
        table.time_partitioning = None
    elif name == "by day":
        table.time_partitioning = bigquery.TimePartitioning("DAY", "pickup_datetime")
    elif name == "type":
        table.schema = [bigquery.SchemaField("FARE", "STRING")]
    elif name == "required":
        table.schema = [*table.schema, bigquery.SchemaField("tenant", "STRING", mode="REQUIRED")]
    elif name == "view":
        table._properties["type"] = "MATERIALIZED_VIEW"
    return table


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("expiry", "it expires at"),
        ("partition expiry", "partitions expire after 90 days"),
        ("not partitioned", "not partitioned by time and not partitioned by MONTH of source_month"),
        ("by day", "partitioned by DAY of pickup_datetime and not"),
        ("type", "column FARE is STRING and not FLOAT64"),
        ("required", "column tenant must have a value"),
        ("view", "it is a materialized view"),
    ],
)
def test_a_table_of_somebody_else_is_named(name: str, words: str):
    problem = table_problem(changed(name), wanted())
    assert problem is not None
    assert words in problem
    assert "project.trips.green_trips" in problem


def test_the_same_table_with_columns_more_or_less_is_none():
    table = wanted()
    table.schema = [bigquery.SchemaField("note", "STRING")]
    assert table_problem(table, wanted()) is None
    table.schema = [bigquery.SchemaField("fare", "FLOAT")]
    assert table_problem(table, wanted()) is None


def test_a_load_stops_before_anything_is_changed(world: World):
    """A stranger's table stays as it was, and the step is not tried again."""
    assert world.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    name = world.bigquery.table(GREEN)
    with world.bigquery.get_client() as client:
        client.create_dataset(name.rpartition(".")[0])
        client.create_table(bigquery.Table(name, [bigquery.SchemaField("vendor_id", "STRING")]))
    fails(world, [name, "vendor_id is STRING and not INT64", "TAXI_BIGQUERY_DATASET"], False, "bigquery_table")
    with world.bigquery.get_client() as client:
        assert [field.name for field in client.get_table(name).schema] == ["vendor_id"]
    assert len(world.bigquery.find_problems()) == 1
    with pytest.raises(ServiceError, match="vendor_id"):
        world.bigquery.ensure_tables()


def test_what_this_project_makes_has_no_problem(world: World):
    assert world.bigquery.find_problems() == []
    world.bigquery.ensure_tables()
    assert world.bigquery.find_problems() == []
