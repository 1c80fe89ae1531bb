"""deploy/postgres: the roles may do what they need, and are refused the rest, by a real PostgreSQL."""

import uuid
from datetime import date

import psycopg
import pytest
from psycopg import sql

from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.support.deployment import run_sql

SCRIPTS = PROJECT_ROOT / "deploy" / "postgres"
PASSWORDS = {"POSTGRES_PASSWORD": "l'oader", "WAREHOUSE_READER_PASSWORD": "re\\ader"}


@pytest.fixture(scope="module")
def warehouse(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world whose warehouse is loaded by the role that the script makes; green 2020-04 is in it."""
    world = make_world(services, tmp_path_factory.mktemp("roles"))
    for _ in range(2):
        # A second time for those who change a password.
        run_sql(world.postgres_url, SCRIPTS / "roles.sql", PASSWORDS)
    loader = PostgresWarehouse(url=world.postgres_url.replace("postgres@", "taxi_loader@"))
    world = World(world.settings, world.resources | {"postgres": loader}, world.postgres_url)
    result = world.run("green", date(2020, 4, 1))
    assert result.success
    return world


def as_role(world: World, role: str) -> psycopg.Connection:
    return psycopg.connect(world.postgres_url.replace("postgres@", f"{role}@"), autocommit=True)


def test_the_loader_loads_and_loads_again(warehouse: World) -> None:
    assert warehouse.run("green", date(2020, 4, 1)).success
    with as_role(warehouse, "taxi_loader") as connection:
        owners = connection.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'taxi'").fetchall()
    assert owners == [("taxi_loader",)]


def test_the_reader_reads_also_months_that_came_later(warehouse: World) -> None:
    assert warehouse.run("green", date(2020, 5, 1)).success
    with as_role(warehouse, "taxi_reader") as connection:
        months = connection.execute("SELECT source_month, count(*) FROM taxi.green_trips GROUP BY 1").fetchall()
        assert {month for month, rows in months if rows} == {date(2020, 4, 1), date(2020, 5, 1)}
        connection.execute("SELECT count(*) FROM taxi.green_trips_2020_05")


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("taxi_reader", "DELETE FROM taxi.green_trips"),
        ("taxi_reader", "INSERT INTO taxi.green_trips SELECT * FROM taxi.green_trips"),
        ("taxi_reader", "TRUNCATE taxi.green_trips"),
        ("taxi_reader", "CREATE TABLE taxi.mine (a int)"),
        ("taxi_reader", "CREATE TABLE public.mine (a int)"),
        ("taxi_reader", "CREATE TEMPORARY TABLE mine (a int)"),
        ("taxi_reader", "CREATE SCHEMA mine"),
        ("taxi_loader", "CREATE SCHEMA mine"),
        ("taxi_loader", "CREATE TABLE public.mine (a int)"),
        ("taxi_loader", "CREATE ROLE mine"),
        ("taxi_loader", "CREATE DATABASE mine"),
        ("taxi_loader", "ALTER ROLE taxi_loader SUPERUSER"),
        ("taxi_loader", "SELECT pg_read_file('/etc/passwd')"),
        ("taxi_loader", "COPY taxi.green_trips TO PROGRAM 'cat'"),
        ("taxi_loader", "SELECT rolpassword FROM pg_authid"),
    ],
)
def test_what_a_role_does_not_need_it_may_not(warehouse: World, role: str, statement: str) -> None:
    with as_role(warehouse, role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement)


def test_passwords_arrive_whatever_is_in_them_and_are_kept_as_hashes(warehouse: World) -> None:
    with psycopg.connect(warehouse.postgres_url) as connection:
        kept = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname LIKE 'taxi_%'").fetchall()
    assert len(kept) == 2
    assert all(password.startswith("SCRAM-SHA-256$") for (password,) in kept)


def test_a_third_role_does_not_even_connect(warehouse: World) -> None:
    name = f"third_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(warehouse.postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
        try:
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                as_role(warehouse, name).close()
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def test_a_script_without_its_password_changes_nothing(warehouse: World) -> None:
    with pytest.raises(AssertionError, match="syntax error"):
        run_sql(warehouse.postgres_url, SCRIPTS / "roles.sql", {})
