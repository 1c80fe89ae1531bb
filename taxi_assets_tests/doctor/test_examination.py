"""`taxi doctor` as a whole: its lines, and its exit codes."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taxi_assets.cli.main import cli
from taxi_assets.doctor import examination, machine
from taxi_assets_tests.conftest import World

CHECKS = ["settings", "credentials", "bucket", "BigQuery", "PostgreSQL", "Dagster's database", "source"]
OF_THE_MACHINE = ["disk", "memory", "clock", "ports", "Python", "packages"]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Return the environment of a shell in which nothing is set."""
    for name in list(os.environ):
        if name.startswith(("TAXI_", "STORAGE_EMU", "BIGQUERY_EMU", "DAGSTER_", "GOOGLE_", "PG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TAXI_DATA_DIR", str(tmp_path / "data"))
    return monkeypatch


def doctor(*arguments: str) -> Result:
    before = dict(os.environ)
    try:
        return CliRunner().invoke(cli, ["doctor", *arguments])
    finally:
        os.environ.clear()
        os.environ.update(before)


def found(expected: int) -> dict[str, list[tuple[str, str]]]:
    done = doctor("--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["exit_code"]) == (expected, expected), done.stdout
    lines: dict[str, list[tuple[str, str]]] = {}
    for line in report["checks"]:
        lines.setdefault(line["check"], []).append((line["status"], line["text"]))
    return lines


def test_without_the_stack_it_says_what_to_start(shell: pytest.MonkeyPatch) -> None:
    lines = found(1)
    assert list(lines) == ["settings", "stack", *CHECKS[1:], *OF_THE_MACHINE]
    assert lines["stack"] == [("failed", "It is not running; run `taxi up --detach`.")]
    assert {lines[name][0][0] for name in ("bucket", "BigQuery", "PostgreSQL")} == {"unchecked"}
    shown = doctor()
    assert shown.exit_code == 1
    assert "✗  stack" in shown.stdout


def test_a_wrong_setting_is_the_only_line(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("TAXI_ENV", "moon")
    lines = found(1)
    assert list(lines) == ["settings"]
    assert "moon" in lines["settings"][0][1]


def test_the_cloud_lacks_its_settings(shell: pytest.MonkeyPatch) -> None:
    shell.setenv("TAXI_ENV", "cloud")
    lines = found(1)
    assert lines["settings"][0][0] == "failed"
    for name in ("DAGSTER_POSTGRES_URL", "TAXI_POSTGRES_URL", "TAXI_GCP_PROJECT", "TAXI_GCS_BUCKET"):
        assert name in lines["settings"][0][1]


def test_everything_is_well_where_everything_runs(world: World, shell: pytest.MonkeyPatch) -> None:
    settings = world.settings
    for name, value in {
        "TAXI_DATA_DIR": str(settings.data_dir),
        "TAXI_GCS_BUCKET": str(settings.gcs_bucket),
        "TAXI_BIGQUERY_DATASET": settings.bigquery_dataset,
        "TAXI_GCS_PORT": str(settings.gcs_port),
        "TAXI_BIGQUERY_PORT": str(settings.bigquery_port),
        "TAXI_POSTGRES_URL": world.postgres_url,
        "DAGSTER_POSTGRES_URL": world.postgres_url,
    }.items():
        shell.setenv(name, value)
    world.bigquery.ensure_tables()
    world.postgres.ensure_tables()
    # These services are this test's: no supervisor watches them, and their ports are taken.
    shell.setattr(examination.supervisor, "status", lambda _: {"running": True})
    shell.setattr(machine.ports, "refuse_taken", lambda _: None)
    lines = found(0)
    assert list(lines) == [*CHECKS, *OF_THE_MACHINE]
    assert "reaches the emulators" in lines["settings"][0][1]
    assert {status for entries in lines.values() for status, _ in entries} <= {"ok", "warning"}
