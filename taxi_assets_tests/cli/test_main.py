"""The command line and the environment it prints, without any service."""

import errno
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from dagster._cli import create_dagster_cli

from taxi_assets.cli.main import cli
from taxi_assets.errors import ServiceError, SettingsError
from taxi_assets.local import ports
from taxi_assets.local.environment import (
    DAGSTER_COMMANDS,
    environment,
    leftovers,
    module_variable,
    psycopg_url,
)
from taxi_assets.settings import VARIABLES, Settings

CLEARED = (*VARIABLES, "DAGSTER_HOME", "DAGSTER_POSTGRES_URL", "DAGSTER_LOCAL_DIR", "GOOGLE_CLOUD_PROJECT")
CLEARED += ("STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder without a `.env`, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in CLEARED:
        # Set before it is removed, so that what a `.env` adds during the test is undone after it.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("TAXI_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def exported(text: str) -> dict[str, str]:
    lines = [shlex.split(line) for line in text.splitlines()]
    return dict(words[1].split("=", 1) for words in lines if words[0] == "export")


def values(environ: dict[str, str]) -> dict[str, str]:
    return environment(Settings.from_environment(environ), environ)


def test_an_error_is_one_line_on_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAXI_ENV", "clowd")
    done = CliRunner().invoke(cli, ["env"])
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == "taxi: TAXI_ENV is 'clowd'; it can be `local` or `cloud`.\n"


def test_nothing_runs() -> None:
    status = CliRunner().invoke(cli, ["status"])
    assert status.exit_code == 3
    assert status.stdout.startswith("stopped\n")
    down = CliRunner().invoke(cli, ["down"])
    assert (down.exit_code, down.stdout) == (0, "Nothing is running.\n")


def test_up_is_for_the_local_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAXI_ENV", "cloud")
    done = CliRunner().invoke(cli, ["up"])
    assert done.exit_code == 1
    assert "TAXI_ENV=local" in done.stderr


def test_help_names_the_exit_code_of_status() -> None:
    assert "3 if not" in CliRunner().invoke(cli, ["status", "--help"]).stdout


def test_dotenv_is_read_and_the_real_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("TAXI_GCS_BUCKET=from-file\nTAXI_BIGQUERY_DATASET=from_file\n")
    monkeypatch.setenv("TAXI_BIGQUERY_DATASET", "from_shell")
    found = exported(CliRunner().invoke(cli, ["env"]).stdout)
    assert found["TAXI_GCS_BUCKET"] == "from-file"
    assert found["TAXI_BIGQUERY_DATASET"] == "from_shell"


def test_env_survives_a_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No deeper: a long path is replaced by a short one where sockets are.
    odd = Path("/it's a $HOME `folder`")
    monkeypatch.setenv("TAXI_DATA_DIR", str(odd))
    found = exported(CliRunner().invoke(cli, ["env"]).stdout)
    assert found["TAXI_DATA_DIR"] == str(odd)
    assert "%20" in found["TAXI_POSTGRES_URL"]


def test_env_for_the_embedded_services() -> None:
    found = values({"TAXI_DATA_DIR": "/d", "TAXI_GCS_PORT": "19023", "PATH": "/usr/bin"})
    assert found["STORAGE_EMULATOR_HOST"] == "http://127.0.0.1:19023"
    assert found["TAXI_GCS_PORT"] == "19023"
    assert "TAXI_UI_PORT" not in found
    assert "TAXI_SOURCE" not in found
    assert found["DAGSTER_POSTGRES_URL"].startswith("postgresql+psycopg2://")
    assert (found["PGHOST"], found["PGUSER"], found["PGDATABASE"]) == ("/d/run", "postgres", "taxi")
    path = found["PATH"].split(os.pathsep)
    assert path[1] == "/usr/bin"
    assert path[2].endswith("/pginstall18/bin")


def test_env_evaluated_twice_is_the_same() -> None:
    once = values({"TAXI_DATA_DIR": "/d", "TAXI_SOURCE": "sample", "PATH": "/usr/bin"})
    assert values(once) == once


def test_what_the_user_has_set_wins() -> None:
    found = values({"TAXI_POSTGRES_URL": "postgresql://me@db/mine", "DAGSTER_POSTGRES_URL": "postgresql://me@db/d"})
    assert found["TAXI_POSTGRES_URL"] == "postgresql://me@db/mine"
    assert found["DAGSTER_POSTGRES_URL"] == "postgresql+psycopg2://me@db/d"
    assert "PGHOST" not in found


def test_a_dagster_home_of_another_project_does_not_win() -> None:
    assert values({"DAGSTER_HOME": "/elsewhere"})["DAGSTER_HOME"] != "/elsewhere"


def test_each_command_of_dagster_that_takes_a_module_has_its_variable() -> None:
    """But not those that start services: a web server or daemon with a workspace file stops if it gets a module."""
    services = {"dev", "api grpc", "code-server start"}
    assert set(commands_with_a_module(create_dagster_cli())) == services | set(DAGSTER_COMMANDS)
    found = values({"TAXI_DATA_DIR": "/d", "DAGSTER_HOME": "/elsewhere"})
    assert "DAGSTER_MODULE_NAME" not in found
    assert {found[module_variable(command)] for command in DAGSTER_COMMANDS} == {"taxi_assets.definitions"}


def commands_with_a_module(group: click.Group, *path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands_with_a_module(command, *path, name)
        elif any(option.name == "module_name" for option in command.params):
            yield " ".join((*path, name))


def test_cloud_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAXI_ENV", "cloud")
    monkeypatch.setenv("TAXI_GCS_BUCKET", "a-bucket")
    done = CliRunner().invoke(cli, ["env"])
    assert done.exit_code == 0
    assert "DAGSTER_POSTGRES_URL, TAXI_POSTGRES_URL, TAXI_GCP_PROJECT; set them" in done.stderr
    assert "also needs" not in done.stdout


def test_sample_writes_a_file_and_says_what_it_is(folder: Path) -> None:
    done = CliRunner().invoke(cli, ["sample", "green", "2020-04", "--rows", "10", "--format", "csv", "--out", "made"])
    assert done.exit_code == 0, done.output
    assert "not TLC's data" in done.stdout
    assert len((folder / "made" / "green_tripdata_2020-04.csv").read_text().splitlines()) == 11


def test_cloud_gets_no_emulator_and_no_secret() -> None:
    secrets = {"TAXI_POSTGRES_URL": "postgresql://u:hunter2@h/d", "DAGSTER_POSTGRES_URL": "postgresql://u:hunter2@h/e"}
    found = values({"TAXI_ENV": "cloud", "TAXI_GCP_PROJECT": "a-project", "TAXI_GCS_BUCKET": "a-bucket", **secrets})
    assert not [name for name in found if "EMULATOR" in name or name.startswith("PG")]
    assert "hunter2" not in str(found)
    assert (found["GOOGLE_CLOUD_PROJECT"], found["TAXI_ENV"]) == ("a-project", "cloud")


def test_a_proxy_is_not_asked_for_this_machine() -> None:
    found = values({"https_proxy": "http://p:1"})
    assert "no_proxy" not in found
    found = values({"HTTP_PROXY": "http://p:1", "no_proxy": "intranet"})
    assert found["no_proxy"] == found["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_psycopg_reads_the_url_of_sqlalchemy() -> None:
    assert psycopg_url("postgresql+psycopg2://u@/d?host=/s") == "postgresql://u@/d?host=/s"
    assert psycopg_url("postgres://u@h/d") == "postgresql://u@h/d"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_what_a_user_can_cause_is_one_line(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.setattr("taxi_assets.local.supervisor.stop", fail)
    done = CliRunner().invoke(cli, ["down"])
    assert (done.exit_code, done.stderr) == (1, f"taxi: {os.strerror(number)}: /some/file\n")


def test_any_other_error_of_the_system_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("taxi_assets.local.supervisor.stop", fail)
    done = CliRunner().invoke(cli, ["down"])
    assert isinstance(done.exception, OSError)
    assert not done.stderr


def test_a_closed_pipe_is_quiet(folder: Path) -> None:
    command = f"{sys.executable} -m taxi_assets.cli.main contract yellow | true"
    done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


def test_two_services_on_one_port_are_refused() -> None:
    port = ports.free_port()
    with pytest.raises(ServiceError, match="TAXI_UI_PORT and TAXI_GCS_PORT are both"):
        ports.refuse_taken({"TAXI_UI_PORT": port, "TAXI_GCS_PORT": port})


def test_the_cloud_after_the_local_stack_in_one_shell(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = values({"TAXI_DATA_DIR": str(folder / "d"), "TAXI_GCS_PORT": "19023"})
    own = {"TAXI_ENV": "cloud", "TAXI_GCP_PROJECT": "a-project", "TAXI_BIGQUERY_LOCATION": "EU"}
    for name, value in (local | own).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"STORAGE_EMULATOR_HOST and BIGQUERY_EMULATOR_HOST and TAXI_POSTGRES_URL"):
        Settings.from_environment()
    done = CliRunner().invoke(cli, ["env"])
    assert done.exit_code == 0, done.output
    unset = re.findall(r"^unset (\w+)$", done.stdout, re.MULTILINE)
    assert {"STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "TAXI_POSTGRES_URL", "DAGSTER_POSTGRES_URL"} <= set(
        unset
    )
    assert {"TAXI_GCS_BUCKET", "PGHOST", "PGUSER"} <= set(unset)
    found = exported(done.stdout)
    assert found["GOOGLE_CLOUD_PROJECT"] == found["TAXI_GCP_PROJECT"] == "a-project"
    assert found["TAXI_BIGQUERY_LOCATION"] == "EU"
    assert not set(unset) & set(found) - {"DAGSTER_LOCAL_DIR", "GOOGLE_CLOUD_PROJECT"}
    assert "also needs DAGSTER_POSTGRES_URL, TAXI_POSTGRES_URL, TAXI_GCS_BUCKET" in done.stderr


def test_what_is_the_users_own_is_not_unset() -> None:
    local = values({"TAXI_DATA_DIR": "/d"})
    own = {"STORAGE_EMULATOR_HOST": "http://other:1", "PGHOST": "db", "TAXI_POSTGRES_URL": "postgresql://u@db/taxi"}
    found = leftovers(local | own | {"TAXI_ENV": "cloud"})
    assert "BIGQUERY_EMULATOR_HOST" in found
    assert not set(found) & {*own, "PGUSER"}
    assert leftovers(local) == []


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg"])
def test_dagsters_database_is_reached_by_its_driver(scheme: str) -> None:
    url = "u:p@h:5432/dagster"
    found = values({"DAGSTER_POSTGRES_URL": f"{scheme}://{url}"})
    assert found["DAGSTER_POSTGRES_URL"] == f"postgresql+psycopg2://{url}"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_dagsters_database_in_the_cloud_too_without_its_password(
    scheme: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAXI_ENV", "cloud")
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", f"{scheme}://u:hunter2@h:5432/dagster")
    done = CliRunner().invoke(cli, ["env"])
    assert "hunter2" not in done.output
    shell = f"{done.stdout}\necho $DAGSTER_POSTGRES_URL"
    shown = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "postgresql+psycopg2://u:hunter2@h:5432/dagster"
