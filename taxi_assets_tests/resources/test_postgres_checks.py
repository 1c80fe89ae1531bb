"""What hinders a load is found beforehand: each check finds its case, and nothing in a database as it should be."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from taxi_assets.resources import postgres_checks as checks
from taxi_assets.resources.postgres_checks import CHECKS, Finding
from taxi_assets_tests.conftest import World

PARTITION = "taxi.green_trips_2020_04"


@pytest.fixture
def ready(world: World) -> World:
    """Return a world with tables and an empty month."""
    world.postgres.ensure_tables()
    execute(
        world,
        f"CREATE TABLE {PARTITION} PARTITION OF taxi.green_trips FOR VALUES FROM ('2020-04-01') TO ('2020-05-01')",
    )
    return world


def execute(world: World, *statements: str) -> None:
    with psycopg.connect(world.postgres_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


def found(world: World, name: str) -> list[Finding]:
    with psycopg.connect(world.postgres_url) as connection:
        return CHECKS[name](connection)


@contextmanager
def other_role(world: World) -> Iterator[tuple[str, str]]:
    """Yield a new role without rights and its URL; whatever it owns goes with it."""
    role = f"role_{uuid.uuid4().hex[:12]}"
    name = sql.Identifier(role)
    with psycopg.connect(world.postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
        try:
            yield role, make_conninfo(world.postgres_url, user=role, password="secret")
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))


def test_database_as_it_should_be_has_no_findings(ready: World) -> None:
    assert {name: found(ready, name) for name in CHECKS} == {name: [] for name in CHECKS}


def test_database_without_tables_has_no_findings(world: World) -> None:
    assert {name: found(world, name) for name in CHECKS} == {name: [] for name in CHECKS}


@pytest.mark.parametrize(
    ("name", "value", "check", "blocks"),
    [
        ("default_transaction_read_only", "on", "read-only", True),
        ("statement_timeout", "5s", "time limits", False),
        ("idle_in_transaction_session_timeout", "5s", "time limits", False),
    ],
)
def test_settings_of_the_database_are_named(ready: World, name: str, value: str, check: str, blocks: bool) -> None:
    database = ready.settings.bigquery_dataset
    execute(ready, f"ALTER DATABASE {database} SET {name} = '{value}'")
    [finding] = found(ready, check)
    assert name in finding.text
    assert finding.blocks is blocks


def test_time_limit_that_the_session_lifted_is_still_named(ready: World) -> None:
    execute(ready, f"ALTER DATABASE {ready.settings.bigquery_dataset} SET statement_timeout = '5s'")
    with psycopg.connect(ready.postgres_url) as connection:
        connection.execute("SET statement_timeout = 0")
        [finding] = checks.time_limits(connection)
    assert finding.text.startswith("statement_timeout is 5000 ms for sessions of this role;")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"CREATE VIEW public.daily AS SELECT fare_amount FROM {PARTITION}", "view public.daily"),
        (f"CREATE MATERIALIZED VIEW public.sums AS SELECT 1 FROM {PARTITION}", "materialized view public.sums"),
        (f"CREATE FUNCTION public.fare(t {PARTITION}) RETURNS int LANGUAGE sql AS 'SELECT 1'", "function public.fare"),
        (
            f"CREATE FUNCTION public.trips() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM {PARTITION}; END",
            "function public.trips",
        ),
        (
            f"ALTER TABLE {PARTITION} ADD UNIQUE (source_month); CREATE TABLE public.notes "
            f"(m date CONSTRAINT of_month REFERENCES {PARTITION} (source_month))",
            "constraint of_month on public.notes",
        ),
        (
            "CREATE FUNCTION public.act() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; "
            f"CREATE TRIGGER acting BEFORE INSERT ON {PARTITION} FOR EACH ROW EXECUTE FUNCTION public.act()",
            "trigger acting",
        ),
    ],
)
def test_what_hangs_on_a_partition_is_named_with_its_owner(ready: World, statement: str, words: str) -> None:
    execute(ready, statement)
    [finding] = found(ready, "objects of others")
    assert words in finding.text
    assert f"hangs on {PARTITION}" in finding.text


def test_view_of_another_role_is_named_with_that_role(ready: World) -> None:
    with other_role(ready) as (role, _):
        execute(
            ready,
            f"CREATE VIEW public.daily AS SELECT fare_amount FROM {PARTITION}",
            f"ALTER VIEW public.daily OWNER TO {role}",
        )
        [finding] = found(ready, "objects of others")
    assert f"The view public.daily of {role} hangs on {PARTITION}" in finding.text


def test_view_on_the_whole_table_hinders_nothing(ready: World) -> None:
    execute(ready, "CREATE VIEW public.daily AS SELECT fare_amount FROM taxi.green_trips")
    assert found(ready, "objects of others") == []


def test_strangers_table_is_named(world: World) -> None:
    execute(world, "CREATE SCHEMA taxi", "CREATE TABLE taxi.green_trips (vendorid int)")
    [finding] = found(world, "encoding and tables")
    assert "taxi.green_trips is a table of postgres that Taxi Assets did not make" in finding.text
    assert finding.blocks


def test_encoding_that_cannot_hold_every_text_is_named(world: World) -> None:
    name = f"latin_{uuid.uuid4().hex[:12]}"
    execute(world, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with psycopg.connect(make_conninfo(world.postgres_url, dbname=name)) as connection:
        [finding] = checks.tables(connection)
    assert "LATIN1" in finding.text
    assert finding.blocks


def test_default_partition_is_named(ready: World) -> None:
    execute(ready, "CREATE TABLE public.rest PARTITION OF taxi.green_trips DEFAULT")
    [finding] = found(ready, "default partitions")
    assert "DEFAULT partition of taxi.green_trips" in finding.text


def test_rights_that_a_role_lacks_are_named_with_the_grant(world: World) -> None:
    with other_role(world) as (role, url):
        with psycopg.connect(url) as connection:
            [finding] = checks.rights(connection)
        assert f'GRANT CREATE ON DATABASE "{world.settings.bigquery_dataset}" TO "{role}"' in finding.text
        assert finding.blocks
        world.postgres.ensure_tables()
        with psycopg.connect(url) as connection:
            schema, *tables = checks.rights(connection)
        assert f'GRANT USAGE, CREATE ON SCHEMA taxi TO "{role}"' in schema.text
        assert any(finding.text.startswith("taxi.green_trips belongs to ") for finding in tables)


def test_open_transaction_is_named_once_it_is_long(ready: World) -> None:
    url = make_conninfo(ready.postgres_url, application_name="a notebook")
    with psycopg.connect(url) as reader, psycopg.connect(ready.postgres_url) as connection:
        reader.execute("SELECT count(*) FROM taxi.green_trips")
        assert checks.long_transactions(connection) == []
        [finding] = checks.long_transactions(connection, seconds=0)
        pid, user = reader.info.backend_pid, reader.info.user
    assert f"Process {pid} of {user} (a notebook)" in finding.text
    assert f"pg_terminate_backend({pid})" in finding.text


def test_open_transaction_whose_age_is_hidden_is_named_too(ready: World) -> None:
    with other_role(ready) as (_, url), psycopg.connect(ready.postgres_url) as reader:
        reader.execute("SELECT count(*) FROM taxi.green_trips")
        with psycopg.connect(url) as connection:
            [finding] = checks.long_transactions(connection)
    assert "only members of pg_read_all_stats see" in finding.text
