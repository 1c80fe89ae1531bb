"""Databases that others use too: what they made stays or is named, and their limits do not end a load."""

import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.errors import ServiceError, ServiceUnavailableError
from taxi_assets.resources import postgres_session
from taxi_assets.resources.lake import LakeFile
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.versions import APRIL, MAY, fails, held

GREEN = DATASETS["green"]
PARTITION = "taxi.green_trips_2020_04"


@pytest.fixture
def loaded(world: World) -> World:
    assert world.run("green", APRIL).success
    return world


def execute(world: World, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements as the database's owner; return the rows of the last one."""
    with psycopg.connect(world.postgres_url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)  # type: ignore[arg-type]
        return cursor.fetchall() if cursor.description else []


def reload(world: World) -> None:
    """Load the month again and check that it is the same."""
    before = held(world)
    assert world.run("green", APRIL, "postgres_table", force=True).success
    assert held(world) == before
    assert not world.leftovers()


HANGING = {
    "view": (
        f"CREATE VIEW public.cheap AS SELECT * FROM {PARTITION} WHERE fare_amount < 5",
        "SELECT to_regclass('public.cheap') IS NOT NULL",
    ),
    "materialized view": (
        f"CREATE MATERIALIZED VIEW public.kept AS SELECT fare_amount FROM {PARTITION}",
        "SELECT to_regclass('public.kept') IS NOT NULL",
    ),
    "function": (
        f"CREATE FUNCTION public.first_trip() RETURNS {PARTITION} LANGUAGE sql AS 'SELECT * FROM {PARTITION} LIMIT 1'",
        "SELECT count(*) = 1 FROM pg_proc WHERE proname = 'first_trip'",
    ),
    "index": (
        f"CREATE INDEX my_fares ON {PARTITION} (fare_amount)",
        "SELECT count(*) = 1 FROM pg_indexes WHERE indexname = 'my_fares' AND tablename = 'green_trips_2020_04'",
    ),
    "grant": (
        f"GRANT SELECT ON {PARTITION} TO pg_monitor",
        f"SELECT has_table_privilege('pg_monitor', '{PARTITION}', 'SELECT')",
    ),
    "column comment": (
        f"COMMENT ON COLUMN {PARTITION}.fare_amount IS 'checked by accounting'",
        f"SELECT col_description('{PARTITION}'::regclass, attnum) = 'checked by accounting' FROM pg_attribute "
        f"WHERE attrelid = '{PARTITION}'::regclass AND attname = 'fare_amount'",
    ),
    "storage parameter": (
        f"ALTER TABLE {PARTITION} SET (fillfactor = 70)",
        f"SELECT reloptions = '{{fillfactor=70}}' FROM pg_class WHERE oid = '{PARTITION}'::regclass",
    ),
    "statistics": (
        f"CREATE STATISTICS public.fares ON fare_amount, trip_distance FROM {PARTITION}",
        "SELECT count(*) = 1 FROM pg_statistic_ext WHERE stxname = 'fares'",
    ),
}


@pytest.mark.parametrize("kind", HANGING)
def test_what_others_hang_on_a_partition_survives_a_reload(loaded: World, kind: str) -> None:
    made, is_there = HANGING[kind]
    execute(loaded, made)
    reload(loaded)
    assert execute(loaded, is_there) == [(True,)]
    reload(loaded)


def test_a_foreign_key_that_refuses_the_replacement_is_named(loaded: World) -> None:
    execute(
        loaded,
        "CREATE TABLE public.audited (month date, n bigint)",
        "ALTER TABLE taxi.green_trips ADD COLUMN n bigint",
        f"UPDATE {PARTITION} SET n = t.n FROM (SELECT ctid AS at, row_number() OVER () AS n FROM {PARTITION}) t "
        f"WHERE {PARTITION}.ctid = t.at",
        f"CREATE UNIQUE INDEX by_n ON {PARTITION} (source_month, n)",
        "INSERT INTO public.audited VALUES ('2020-04-01', 1)",
        f"ALTER TABLE public.audited ADD CONSTRAINT known FOREIGN KEY (month, n) REFERENCES {PARTITION} "
        "(source_month, n)",
    )
    before = held(loaded)
    fails(loaded, ["known", "did not make", "nothing was published"], False, "postgres_table")
    assert held(loaded) == before
    assert not loaded.leftovers()


ON_PARENT = {
    "column": "ADD COLUMN note text DEFAULT 'unread'",
    "generated column": "ADD COLUMN cents bigint GENERATED ALWAYS AS ((total_amount * 100)::bigint) STORED",
    "check": "ADD CONSTRAINT sane CHECK (trip_distance > -1)",
    "not null": "ALTER COLUMN pickup_datetime SET NOT NULL",
}


@pytest.mark.parametrize("kind", ON_PARENT)
def test_what_others_add_to_the_parent_is_carried(loaded: World, kind: str) -> None:
    execute(loaded, f"ALTER TABLE taxi.green_trips {ON_PARENT[kind]}")
    reload(loaded)
    assert loaded.run("green", MAY).success
    if kind == "column":
        assert execute(loaded, "SELECT DISTINCT note FROM taxi.green_trips") == [("unread",)]


def test_an_index_on_the_parent_is_built_before_the_table_is_locked(loaded: World) -> None:
    execute(loaded, "CREATE INDEX by_pickup ON taxi.green_trips (pickup_datetime)")
    reload(loaded)
    query = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'taxi' AND tablename = 'green_trips_2020_04'"
    assert execute(loaded, query) == [(1,)]
    assert execute(loaded, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'taxi.by_pickup'::regclass") == [(True,)]


REFUSED = {
    "NOT NULL that rows break": ("ALTER COLUMN ehail_fee SET NOT NULL", ["ehail_fee", "did not make"]),
    "CHECK that rows break": ("ADD CONSTRAINT cheap CHECK (fare_amount < 1) NOT VALID", ["cheap", "did not make"]),
    "another type": (
        "ALTER COLUMN passenger_count TYPE bigint",
        ["passenger_count of taxi.green_trips is of the type bigint, and integer is expected", "ALTER TABLE"],
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_a_month_cannot_satisfy_is_named_and_not_retried(world: World, kind: str) -> None:
    statement, words = REFUSED[kind]
    world.postgres.ensure_tables()
    execute(world, f"ALTER TABLE taxi.green_trips {statement.removesuffix(' NOT VALID')}")
    assert world.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    fails(world, words, False, "postgres_table")
    assert not world.leftovers()


def test_a_unique_index_that_rows_break_is_named(world: World) -> None:
    world.postgres.ensure_tables()
    execute(world, "CREATE UNIQUE INDEX one_a_day ON taxi.green_trips (source_month)")
    assert world.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    fails(world, ["did not make", "Key (source_month)"], False, "postgres_table")


def test_a_default_partition_that_holds_the_month_is_named(world: World) -> None:
    world.postgres.ensure_tables()
    execute(
        world,
        "CREATE TABLE taxi.rest PARTITION OF taxi.green_trips DEFAULT",
        "INSERT INTO taxi.green_trips (source_month) VALUES ('2020-04-01')",
    )
    assert world.run("green", MAY).success
    assert world.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    fails(world, ["default partition", "rest", "nothing was published"], False, "postgres_table")


def test_readers_do_not_wait_behind_a_first_load_that_waits_for_a_default_partition(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attaching a month locks the DEFAULT partition; while others hold it, a load lets readers pass and gives up."""
    monkeypatch.setattr(postgres_session, "LOCK_PATIENCE_SECONDS", 1.0)
    world.postgres.ensure_tables()
    execute(world, 'CREATE TABLE public."The Rest" PARTITION OF taxi.green_trips DEFAULT')
    assert world.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    # Its end lets a load go on that waits for it without a limit.
    with psycopg.connect(world.postgres_url, options="-c idle_in_transaction_session_timeout=30s") as holder:
        holder.execute('SELECT count(*) FROM public."The Rest"')
        words = ['public."The Rest" was in use for longer than 1 s', f"process {holder.info.backend_pid} of postgres"]
        fails(world, words, True, "postgres_table")
    assert world.run("green", APRIL, "postgres_table").success


def test_no_table_is_locked_against_readers_while_the_bucket_responds(
    loaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, locks = LakeFile.check_published, []

    def check_published(self: LakeFile) -> None:
        query = f"""
            SELECT relation::regclass FROM pg_locks WHERE mode = 'AccessExclusiveLock'
            AND relation IN ('taxi.green_trips'::regclass, '{PARTITION}'::regclass)
        """
        locks.append(execute(loaded, query))
        original(self)

    monkeypatch.setattr(LakeFile, "check_published", check_published)
    reload(loaded)
    assert locks
    assert not any(locks)


def test_a_table_in_the_place_of_a_partition_is_named(world: World) -> None:
    world.postgres.ensure_tables()
    execute(world, f"CREATE TABLE {PARTITION} (x int)")
    assert world.run("green", APRIL, "raw_file", "clean_parquet", "gcs_object").success
    fails(world, [f"{PARTITION}, which belongs to postgres, is no partition", "rename"], False, "postgres_table")


STRANGERS = {
    "a tutorial's table": "CREATE TABLE taxi.green_trips (vendorid int)",
    "a view": "CREATE VIEW taxi.green_trips AS SELECT 1 AS vendorid",
    "another partitioning": "CREATE TABLE taxi.green_trips (vendorid int) PARTITION BY LIST (vendorid)",
    "other zones": "CREATE TABLE taxi.zones (locationid int)",
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_a_strangers_table_is_refused_before_anything_is_changed(world: World, kind: str) -> None:
    execute(world, "CREATE SCHEMA taxi", STRANGERS[kind])
    query = "SELECT relname::text, relnatts FROM pg_class WHERE relnamespace = 'taxi'::regnamespace ORDER BY 1"
    before = execute(world, query)
    with pytest.raises(ServiceError, match="of postgres that Taxi Assets did not make, with the columns") as caught:
        world.postgres.ensure_tables()
    assert "Nothing was changed" in str(caught.value)
    assert execute(world, query) == before


@pytest.mark.parametrize("name", ["statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"])
def test_time_limits_of_the_database_do_not_end_a_load(world: World, name: str, monkeypatch: Any) -> None:
    [(database,)] = execute(world, "SELECT current_database()")
    execute(world, f"ALTER DATABASE {database} SET {name} = '20ms'")
    with world.postgres.connect() as connection:
        connection.execute("SELECT pg_sleep(0.1)")
        time.sleep(0.1)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert world.run("green", APRIL).success


def test_a_read_only_database_is_a_sentence_and_retried(loaded: World) -> None:
    [(database,)] = execute(loaded, "SELECT current_database()")
    execute(loaded, f"ALTER DATABASE {database} SET default_transaction_read_only = on")
    fails(loaded, ["is read-only", "primary"], True, "postgres_table")


def test_a_session_that_an_administrator_ends_is_a_sentence_and_retried(world: World) -> None:
    def work() -> None:
        with world.postgres.connect() as connection:
            execute(world, f"SELECT pg_terminate_backend({connection.info.backend_pid})")
            connection.execute("SELECT 1")

    with pytest.raises(ServiceUnavailableError, match=r"run it again|does not answer"):
        work()


def test_readers_never_wait_long_for_a_load_that_waits(loaded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's open transaction holds the table; everybody else must be able to read it all the time."""
    monkeypatch.setattr(postgres_session, "LOCK_PATIENCE_SECONDS", 4.0)
    waits: list[float] = []
    ended = threading.Event()

    def read() -> None:
        with psycopg.connect(loaded.postgres_url, autocommit=True) as connection:
            while not ended.is_set():
                began = time.monotonic()
                connection.execute("SELECT count(*) FROM taxi.green_trips").fetchall()
                waits.append(time.monotonic() - began)

    def attempts() -> list[str]:
        query = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'taxi_assets'"
        return [text for (text,) in execute(loaded, query)]

    reader = threading.Thread(target=read)
    with psycopg.connect(loaded.postgres_url) as holder:
        holder.execute("SELECT count(*) FROM taxi.green_trips")
        reader.start()
        seen: list[str] = []
        watcher = threading.Thread(target=lambda: [seen.extend(attempts()) or time.sleep(0.02) for _ in range(100)])
        watcher.start()
        fails(loaded, ["was in use for longer than 4 s"], True, "postgres_table")
        watcher.join()
    ended.set()
    reader.join()
    assert any("LOCK TABLE" in text for text in seen)
    # Not a time of this machine: no read waited for as long as the holder held the table.
    assert max(waits) < postgres_session.LOCK_PATIENCE_SECONDS


@pytest.fixture
def latin(world: World) -> Iterator[World]:
    name = f"latin_{uuid.uuid4().hex[:8]}"
    execute(world, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = re.sub(r"/test_\w+\?", f"/{name}?", world.postgres_url)
    yield replace(world, resources=world.resources | {"postgres": PostgresWarehouse(url=url)}, postgres_url=url)
    execute(world, f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_cannot_hold_every_text_is_refused(latin: World) -> None:
    with pytest.raises(ServiceError, match="has the encoding LATIN1, which cannot hold every text"):
        latin.postgres.ensure_tables()
    assert execute(latin, "SELECT to_regnamespace('taxi')::text") == [(None,)]


def test_garbled_text_is_noticed(loaded: World) -> None:
    """UTF-8 that was read as LATIN1, which has more characters."""
    column = "store_and_fwd_flag"
    kept = loaded.postgres.month_totals(GREEN, APRIL)
    garbled = "convert_from(convert_to('Б', 'UTF8'), 'LATIN1')"
    execute(loaded, f"UPDATE {PARTITION} SET {column} = {garbled} WHERE {column} IS NOT NULL")
    [difference] = loaded.postgres.month_totals(GREEN, APRIL).differences(kept)
    assert difference.startswith(f"characters of {column} ")


def test_a_dropped_table_is_made_again(loaded: World) -> None:
    execute(loaded, "DROP TABLE taxi.green_trips, taxi.zones")
    assert loaded.postgres.ensure_tables() == ["taxi.green_trips, which was missing", "taxi.zones, which was missing"]
    assert loaded.postgres.ensure_tables() == []
    execute(loaded, "DROP TABLE taxi.green_trips")
    assert loaded.run("green", APRIL, "postgres_table").success


def test_a_day_reads_the_partitions_near_it(world: World) -> None:
    months = [date(2019, 12, 1), *(date(2020, month, 1) for month in range(1, 13))]
    for month in months:
        assert world.run("green", month).success

    def scanned(day: str) -> int:
        query = (
            "EXPLAIN SELECT count(*) FROM taxi.green_trips WHERE pickup_datetime >= timestamp '{0}' "
            "AND pickup_datetime < timestamp '{0}' + interval '1 day'"
        )
        # With constants, as a person writes them.
        text = query.format(day).replace(f"timestamp '{day}' + interval '1 day'", f"timestamp '{day} 23:59:59'")
        return sum("Scan on green_trips_" in line for (line,) in execute(world, text))

    assert {day: scanned(day) for day in ("2020-06-15", "2020-05-01", "2020-05-31")} == {
        "2020-06-15": 1,
        "2020-05-01": 2,
        "2020-05-31": 2,
    }


def test_pickups_far_from_the_month_are_kept_where_the_rule_is_off(world: World) -> None:
    """Then the partition has no CHECK of its pickups, also if it had one before and a view hangs on it."""
    assert world.run("green", APRIL).success
    execute(world, f"CREATE VIEW public.april AS SELECT * FROM {PARTITION}")
    off = {"ops": {"green__clean_parquet": {"config": {"rules_off": ["pickup_outside_month"]}}}}
    assert world.run("green", APRIL, run_config=off).success
    totals = world.totals("green", APRIL)
    assert totals["lake"] == totals["bigquery"] == totals["postgres"]
