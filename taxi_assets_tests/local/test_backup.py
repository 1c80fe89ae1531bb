"""Backup and restore as docs/recovery.md says: its own commands, against the embedded PostgreSQL."""

import os
import re
import shlex
import subprocess
from dataclasses import replace
from datetime import date
from pathlib import Path

import dagster as dg
import psycopg
from psycopg import sql

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets import build_assets
from taxi_assets.local import postgres
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.deployment import run_sql
from taxi_assets_tests.support.waiting import HANG_SECONDS

MONTH = date(2020, 4, 1)
PASSWORDS = {"POSTGRES_PASSWORD": "w4rehouse", "WAREHOUSE_READER_PASSWORD": "re4der"}


def documented(tool: str, service: str) -> list[str]:
    """Return the words of the command in the page for that service, from the tool's name on."""
    text = (PROJECT_ROOT / "docs" / "recovery.md").read_text()
    [line] = re.findall(rf"^\$ docker compose exec -T {service} ({tool} .+?) [<>] ", text, re.MULTILINE)
    return shlex.split(line)


def run(services: Settings, tool: str, service: str, database: str, dump: Path) -> None:
    """Run the page's command with the embedded tools, on the database that stands for that service's."""
    name = {"dagster-postgres": "dagster", "warehouse-postgres": "taxi"}[service]
    words = [database if word == name else word for word in documented(tool, service)]
    done = subprocess.run(
        [str(postgres.bin_dir() / tool), "-h", str(services.socket_dir), *words[1:]],
        stdin=dump.open("rb") if tool == "pg_restore" else subprocess.DEVNULL,
        stdout=dump.open("wb") if tool == "pg_dump" else subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr.decode()


def drop(services: Settings, database: str) -> None:
    with psycopg.connect(services.local_postgres_url("postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


def database_of(url: str) -> str:
    return url.split("/")[3].split("?")[0]


def test_warehouse_and_history_come_back_as_they_were(
    services: Settings, world: World, dagster_home: dg.DagsterInstance, tmp_path: Path
) -> None:
    run_sql(world.postgres_url, PROJECT_ROOT / "deploy" / "postgres" / "roles.sql", PASSWORDS)
    url = world.postgres_url.replace("postgres@", "taxi_loader@")
    world = replace(world, resources=world.resources | {"postgres": PostgresWarehouse(url=url)})
    result = dg.materialize(
        build_assets(DATASETS["green"]),
        partition_key=MONTH.isoformat(),
        resources=world.resources,
        instance=dagster_home,
    )
    assert result.success

    def held() -> tuple[object, ...]:
        with psycopg.connect(world.postgres_url) as connection:
            rows = connection.execute("SELECT t::text FROM taxi.green_trips AS t ORDER BY 1").fetchall()
            rights = connection.execute(
                "SELECT has_table_privilege('taxi_reader', 'taxi.green_trips', 'SELECT'),"
                " has_table_privilege('taxi_reader', 'taxi.green_trips', 'INSERT'),"
                " has_database_privilege('taxi_reader', current_database(), 'TEMPORARY'),"
                " pg_get_userbyid((SELECT relowner FROM pg_class WHERE oid = 'taxi.green_trips'::regclass))"
            ).fetchall()
            steps = connection.execute("SELECT * FROM taxi.migrations").fetchall()
        with dg.DagsterInstance.get() as instance:
            run = instance.get_run_by_id(result.run_id)
            events = [record.timestamp for record in instance.all_logs(result.run_id)]
            months = instance.get_materialized_partitions(dg.AssetKey(["green", "postgres_table"]))
        return rows, rights, steps, world.postgres.loaded_manifests(DATASETS["green"]), run, events, months

    before = held()
    assert len(before[0]) > 2900
    assert before[1] == [(True, False, False, "taxi_loader")]
    history = database_of(os.environ["DAGSTER_POSTGRES_URL"])
    for service, database in {"dagster-postgres": history, "warehouse-postgres": database_of(url)}.items():
        dump = tmp_path / f"{service}.dump"
        run(services, "pg_dump", service, database, dump)
        drop(services, database)
        run(services, "pg_restore", service, database, dump)
        # A second time, over what is there.
        run(services, "pg_restore", service, database, dump)
    assert held() == before
    # And it goes on: the role that loads months still may.
    assert world.run("green", MONTH, "postgres_table").success
