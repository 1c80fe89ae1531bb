"""The tables of PostgreSQL by numbered steps: once, in order, whole or not at all, whoever asks and however often."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from taxi_assets.contract.schemas import CONTRACT_VERSION, Schema
from taxi_assets.contract.tables import TABLES
from taxi_assets.errors import ServiceError, ServiceUnavailableError
from taxi_assets.resources import postgres_session
from taxi_assets.resources import postgres_tables as module
from taxi_assets.resources.postgres_tables import MIGRATIONS, Migration, follow_contract, migrate
from taxi_assets_tests.conftest import World


def applied(world: World) -> list[tuple[int, str]]:
    with psycopg.connect(world.postgres_url) as connection:
        return connection.execute("SELECT number, name FROM taxi.migrations ORDER BY number").fetchall()


def columns(world: World, table: str) -> list[str]:
    with psycopg.connect(world.postgres_url) as connection:
        query = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        return [name for (name,) in connection.execute(query + " ORDER BY attnum", [f"taxi.{table}"])]


def test_new_database_gets_the_tables_of_the_contract_and_a_second_time_nothing(world: World) -> None:
    assert world.postgres.ensure_tables() == [f"{m.number} ({m.name})" for m in MIGRATIONS]
    assert {name: columns(world, name) for name in TABLES} == {n: list(t.schema.names) for n, t in TABLES.items()}
    first = applied(world)
    assert world.postgres.ensure_tables() == []
    assert applied(world) == first == [(m.number, m.name) for m in MIGRATIONS]


def test_steps_count_from_one_and_end_with_the_contract_of_today() -> None:
    assert [m.number for m in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))
    # A contract with another version needs a step; so do its tables, which a database may have in an older form.
    assert [m.name for m in MIGRATIONS if m.apply is follow_contract][-1] == f"contract {CONTRACT_VERSION}"


def test_of_many_at_once_each_step_is_taken_by_one(world: World) -> None:
    together = threading.Barrier(6)

    def start() -> list[str]:
        together.wait()
        return world.postgres.ensure_tables()

    with ThreadPoolExecutor(6) as pool:
        done = [pool.submit(start) for _ in range(6)]
    # Each step commits by itself, so that two may share them.
    steps = sorted(step for one in done for step in one.result())
    assert steps == [f"{migration.number} ({migration.name})" for migration in MIGRATIONS]


def test_database_from_before_the_steps_keeps_its_rows_and_gets_what_it_lacks(world: World) -> None:
    table = TABLES["green_trips"]
    early = Schema(tuple(c for c in table.schema.columns if c.name not in ("trip_type", "cbd_congestion_fee")))
    with psycopg.connect(world.postgres_url) as connection:
        connection.execute("CREATE SCHEMA taxi")
        connection.execute(
            psycopg.sql.SQL("CREATE TABLE taxi.green_trips ({}) PARTITION BY RANGE (source_month)").format(
                module.columns(early.columns)
            )
        )
        connection.execute(
            "CREATE TABLE taxi.green_trips_2019_01 PARTITION OF taxi.green_trips FOR VALUES FROM "
            "('2019-01-01') TO ('2019-02-01')"
        )
        connection.execute("INSERT INTO taxi.green_trips (source_month, fare_amount) VALUES ('2019-01-01', 2.5)")
    world.postgres.ensure_tables()
    assert set(columns(world, "green_trips_2019_01")) == set(table.schema.names)
    with psycopg.connect(world.postgres_url) as connection:
        query = "SELECT fare_amount, trip_type, cbd_congestion_fee FROM taxi.green_trips"
        assert connection.execute(query).fetchall() == [(2.5, None, None)]


def test_step_that_fails_leaves_nothing_and_is_taken_next_time(world: World) -> None:
    def half(cursor: psycopg.Cursor) -> None:
        cursor.execute("CREATE TABLE taxi.half (x integer)")
        cursor.execute("SELECT 1 / 0")

    def whole(cursor: psycopg.Cursor) -> None:
        cursor.execute("CREATE TABLE taxi.whole (x integer)")

    number = len(MIGRATIONS) + 1
    with psycopg.connect(world.postgres_url) as connection, pytest.raises(psycopg.errors.DivisionByZero):
        migrate(connection, [*MIGRATIONS, Migration(number, "half", half)])
    assert len(applied(world)) == len(MIGRATIONS)
    mended = [*MIGRATIONS, Migration(number, "whole", whole)]
    with psycopg.connect(world.postgres_url) as connection:
        assert migrate(connection, mended) == mended[-1:]
        assert connection.execute("SELECT to_regclass('taxi.half'), to_regclass('taxi.whole')").fetchone() == (
            None,
            "taxi.whole",
        )


def test_database_of_a_newer_version_is_refused_in_a_sentence(world: World) -> None:
    newer = replace(MIGRATIONS[0], number=len(MIGRATIONS) + 1, name="of a newer version")
    with psycopg.connect(world.postgres_url) as connection:
        migrate(connection, [*MIGRATIONS, newer])
    with pytest.raises(ServiceError, match=r"has step \d+ of its tables, and this version has \d+: .* Upgrade"):
        world.postgres.ensure_tables()


def test_table_in_use_ends_in_a_sentence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.postgres.ensure_tables()
    monkeypatch.setattr(postgres_session, "LOCK_PATIENCE_SECONDS", 0.1)

    def add(cursor: psycopg.Cursor) -> None:
        postgres_session.lock_tables(cursor, ["taxi.green_trips"])
        cursor.execute("ALTER TABLE taxi.green_trips ADD COLUMN more integer")

    with psycopg.connect(world.postgres_url) as reader:
        reader.execute("SELECT count(*) FROM taxi.green_trips")
        steps = [*MIGRATIONS, Migration(len(MIGRATIONS) + 1, "more", add)]
        with (
            pytest.raises(ServiceUnavailableError, match="was in use for longer"),
            world.postgres.connect() as connection,
        ):
            migrate(connection, steps)
    assert "more" not in columns(world, "green_trips")


def test_bigquery_follows_the_contract_however_often(world: World) -> None:
    world.bigquery.ensure_tables()
    with world.bigquery.get_client() as client:
        client.query(f"ALTER TABLE `{world.bigquery.dataset}.green_trips` DROP COLUMN trip_type").result()
    for _ in range(2):
        world.bigquery.ensure_tables()
        with world.bigquery.get_client() as client:
            for name, table in TABLES.items():
                found = client.get_table(f"{world.bigquery.dataset}.{name}")
                assert {field.name for field in found.schema} == set(table.schema.names)
