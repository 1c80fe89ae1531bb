"""What `taxi doctor` finds in PostgreSQL: the warehouse's server, and Dagster's database with its pools."""

import os

import dagster as dg
import psycopg
import pytest

from taxi_assets.doctor import databases
from taxi_assets.doctor.check import Line, run_checks
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.postgres_checks import CHECKS
from taxi_assets.runtime.pools import ensure_pools
from taxi_assets_tests.conftest import World


def lines(world: World, name: str) -> list[Line]:
    return run_checks([check for check in databases.checks(world.resources) if check.name == name])


def bad(world: World) -> list[str]:
    return [line.text for line in lines(world, "PostgreSQL") if line.status != "ok"]


def test_a_warehouse_as_it_should_be_has_one_line_a_check(world: World) -> None:
    world.postgres.ensure_tables()
    found = lines(world, "PostgreSQL")
    assert [line.status for line in found] == ["ok"] * (1 + len(CHECKS))
    assert found[0].text.startswith("PostgreSQL 1")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE SCHEMA taxi; CREATE TABLE taxi.green_trips (vendorid int)", "taxi.green_trips"),
        ("ALTER DATABASE {} SET default_transaction_read_only TO on", "read-only"),
        ("ALTER DATABASE {} SET statement_timeout TO '5s'", "statement_timeout"),
    ],
)
def test_what_hinders_a_load_is_named(world: World, statement: str, words: str) -> None:
    with psycopg.connect(world.postgres_url, autocommit=True) as connection:
        connection.execute(statement.format(connection.info.dbname))  # type: ignore[arg-type]
    assert any(words in text for text in bad(world))


def test_a_server_that_is_not_there(world: World) -> None:
    world.resources["postgres"] = PostgresWarehouse(url="postgresql://somebody:s3cret@127.0.0.1:9/taxi")
    [text] = bad(world)
    assert "does not answer" in text
    assert "s3cret" not in text
    assert "taxi doctor" not in text


def test_the_pools_of_dagster(world: World, dagster_home: dg.DagsterInstance) -> None:
    [line] = lines(world, "Dagster's database")
    assert (line.status, "bigquery" in line.text) == ("warning", True)
    ensure_pools(os.environ["DAGSTER_POSTGRES_URL"])
    [line] = lines(world, "Dagster's database")
    assert (line.status, line.text) == ("ok", "It answers, and all pools have their limits.")


@pytest.mark.parametrize("url", [None, "postgresql://somebody:s3cret@127.0.0.1:9/dagster"])
def test_no_database_of_dagster(world: World, monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    monkeypatch.delenv("DAGSTER_POSTGRES_URL", raising=False)
    if url:
        monkeypatch.setenv("DAGSTER_POSTGRES_URL", url)
    [line] = lines(world, "Dagster's database")
    assert (line.status, "DAGSTER_POSTGRES_URL" in line.text, "s3cret" in line.text) == ("failed", True, False)
