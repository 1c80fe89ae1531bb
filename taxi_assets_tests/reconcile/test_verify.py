"""`taxi verify` finds what differs between the sinks and the lake, and the command that it names mends it."""

import json
import os
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from click.testing import CliRunner, Result

from taxi_assets.cli.main import cli
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import clean_object, rejected_object
from taxi_assets.local.environment import environment
from taxi_assets.reconcile.verify import VerificationReport, verify
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.conftest import World, changed
from taxi_assets_tests.support.versions import APRIL, MAY
from taxi_assets_tests.support.waiting import HANG_SECONDS

GREEN = DATASETS["green"]
JUNE = date(2020, 6, 1)
# Each command as the `dagster` command takes it, all in one process: importing Dagster takes longer than a month.
RUN_ALL = """
import json, sys
from dagster._cli import ENV_PREFIX, create_dagster_cli
for arguments in json.loads(sys.argv[1]):
    create_dagster_cli()(arguments, auto_envvar_prefix=ENV_PREFIX, standalone_mode=False)
"""


@pytest.fixture
def shell(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """Return the environment of somebody who works in this world, as `taxi env` makes it."""
    settings = world.settings
    variables = {
        "TAXI_DATA_DIR": str(settings.data_dir),
        "TAXI_GCS_BUCKET": str(settings.gcs_bucket),
        "TAXI_BIGQUERY_DATASET": settings.bigquery_dataset,
        "TAXI_GCS_PORT": str(settings.gcs_port),
        "TAXI_BIGQUERY_PORT": str(settings.bigquery_port),
        "TAXI_POSTGRES_URL": world.postgres_url,
        "TAXI_SAMPLE_ROWS": str(settings.sample_rows),
    }
    for name in [name for name in os.environ if name.startswith(("STORAGE_EMU", "BIGQUERY_EMU", "TAXI_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name, value in environment(Settings.from_environment()).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return dict(os.environ)


def taxi(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def found(*arguments: str) -> dict[str, Any]:
    done = taxi("verify", "--json", *arguments)
    said: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (0 if said["equal"] else 1)
    return said


def spoil(world: World) -> None:
    """In each sink a row too few, a sum that changed, and a month too few."""
    with psycopg.connect(world.postgres_url) as connection:
        one = "(SELECT min(ctid) FROM taxi.green_trips_2020_04)"
        connection.execute(f"DELETE FROM taxi.green_trips_2020_04 WHERE ctid = {one}")  # type: ignore[arg-type]
        connection.execute("UPDATE taxi.green_trips SET tip_amount = tip_amount + 1 WHERE source_month = '2020-05-01'")
        connection.execute("DROP TABLE taxi.green_trips_2020_06")
    table = f"`{world.bigquery.table(GREEN)}`"
    with world.bigquery.get_client() as client:
        for statement in (
            f"UPDATE {table} SET fare_amount = fare_amount - 0.01 WHERE source_month = '2020-04-01'",
            f"DELETE FROM {table} WHERE source_month = '2020-05-01'",
            f"DELETE FROM {table} WHERE source_month = '2020-06-01' AND pickup_datetime = "
            f"(SELECT MIN(pickup_datetime) FROM {table} WHERE source_month = '2020-06-01')",
        ):
            client.query(statement).result()


def test_what_differs_is_found_and_the_named_command_mends_it(
    world: World, shell: dict[str, str], dagster_home: dg.DagsterInstance
):
    assert taxi("verify").exit_code == 0
    for month in (APRIL, MAY, JUNE):
        assert world.run("green", month).success
    done = taxi("verify")
    assert done.exit_code == 0, done.output
    assert "✓ green: 3 months with " in done.stdout
    assert "the same in BigQuery and PostgreSQL" in done.stdout

    rows = {month: world.postgres.month_totals(GREEN, month).rows for month in (APRIL, MAY, JUNE)}
    spoil(world)
    [green] = found("green")["datasets"]
    differences = {(entry["month"], entry["place"]): entry for entry in green["differences"]}
    assert set(differences) == {
        (month.isoformat(), place) for month in (APRIL, MAY, JUNE) for place in ("BigQuery", "PostgreSQL")
    }
    fewer = differences["2020-04-01", "PostgreSQL"]
    assert f"rows {rows[APRIL] - 1:,}" in fewer["found"]
    assert f"rows {rows[APRIL]:,}" in fewer["expected"]
    assert "cents of tip_amount" in differences["2020-05-01", "PostgreSQL"]["found"]
    assert "rows" not in differences["2020-05-01", "PostgreSQL"]["found"]
    assert differences["2020-06-01", "PostgreSQL"]["found"] == "rows 0"
    assert differences["2020-05-01", "BigQuery"]["expected"] == f"rows {rows[MAY]:,}"
    assert "cents of fare_amount" in differences["2020-04-01", "BigQuery"]["found"]
    assert f"rows {rows[JUNE]:,}" in differences["2020-06-01", "BigQuery"]["expected"]

    # Only the months that were asked for; the table says the same in words.
    assert len(found("green", "2020-04..2020-05")["datasets"][0]["differences"]) == 4
    done = taxi("verify", "2020-06")
    assert done.exit_code == 1
    assert done.stdout.count("    rerun     dagster asset materialize") == 2

    commands = [shlex.split(entry["command"]) for entry in green["differences"]]
    assert {command[0] for command in commands} == {"dagster"}
    ran = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps([command[1:] for command in commands])],
        env=shell | {"DAGSTER_POSTGRES_URL": os.environ["DAGSTER_POSTGRES_URL"], "PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    done = taxi("verify", "green")
    assert done.exit_code == 0, done.output
    # They were recorded where Dagster keeps its runs, so that `taxi status` sees them.
    line = json.loads(taxi("status", "--json").stdout)["datasets"]["green"]
    assert (line["newest_loaded"], line["newest_published"], line["failed"]) == ("2020-06", "2020-06", [])


def test_a_month_that_only_a_sink_or_only_somebody_has(world: World, shell: dict[str, str]):
    for month in (APRIL, MAY):
        assert world.run("green", month).success
    bucket = world.lake._bucket
    bucket.blob(clean_object("green", APRIL)).delete()
    bucket.blob(clean_object("green", MAY)).upload_from_string("mine")
    done = taxi("verify", "green")
    assert done.exit_code == 1
    lines = [line.strip() for line in done.stdout.splitlines()]
    assert lines.count("expected  no rows, as the lake has no such month") == 2
    assert "green 2020-05 in the lake" in lines
    whole = "rerun     dagster asset materialize --select group:green --partition 2020-0{}-01"
    assert lines.count(whole.format(4)) == 2
    assert lines.count(whole.format(5)) == 1
    for month in (APRIL, MAY):
        assert world.run("green", month).success
    assert taxi("verify").exit_code == 0


def test_a_sink_that_is_down_does_not_hide_the_other(world: World):
    assert world.run("green", APRIL).success
    down = changed(world.postgres, url="postgresql://u@127.0.0.1:1/d")
    report = verify(GREEN, world.lake, [world.bigquery, down])
    assert not report.equal
    assert not report.differences
    assert "PostgreSQL does not answer" in report.unasked["PostgreSQL"]
    empty = changed(world.bigquery, dataset="not_there")
    report = verify(GREEN, world.lake, [empty, world.postgres])
    assert [(d.place, d.found) for d in report.differences] == [("BigQuery", "rows 0")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["grey"], "'grey' is no dataset"),
        (["green", "April"], "'April' is no month"),
        (["2020-05..2020-04"], "ends before it begins"),
    ],
)
def test_what_cannot_be_verified_is_told(shell: dict[str, str], arguments: list[str], sentence: str):
    done = taxi("verify", *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_rejected_rows_of_another_cleaning_are_found(world: World):
    """As a run leaves them that was killed after the first of the two objects was published."""

    def report() -> VerificationReport:
        return verify(GREEN, world.lake, [world.bigquery, world.postgres], APRIL, APRIL)

    assert world.run("green", APRIL).success
    item = world.lake.find(rejected_object("green", APRIL))
    assert item is not None
    world.lake.put(world.lake.fetch(item.name), item.name, {**item.metadata, "cleaning": "of another file"})
    [difference] = report().differences
    assert (difference.place, difference.found) == ("the lake", "rejected rows of another cleaning than the kept ones")
    assert difference.command == "dagster asset materialize --select group:green --partition 2020-04-01"
    assert world.run("green", APRIL).success
    assert report().equal
