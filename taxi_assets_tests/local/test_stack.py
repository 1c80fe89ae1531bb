"""`taxi up`, `down`, `status` and `env` with real services, each test in a data folder and on ports of its own."""

import http.client
import importlib.util
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from taxi_assets.errors import ServiceError
from taxi_assets.local import state
from taxi_assets.local.ports import free_port
from taxi_assets.local.stack import Stack, make_folders
from taxi_assets.settings import PORT_DEFAULTS, PROJECT_ROOT, Settings
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

EMBEDDED = ("postgres", "gcs", "bigquery")
FOREIGN = ("TAXI_", "DAGSTER_", "PG", "GOOGLE_", "STORAGE_EMULATOR_", "BIGQUERY_EMULATOR_")


class Place:
    """A data folder, free ports, and the command `taxi` with both in its environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.variables = {"TAXI_DATA_DIR": str(self.data_dir)}
        self.variables |= {name: str(free_port()) for name in PORT_DEFAULTS}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        self.environ = {**clean, **self.variables, "PYTHONPATH": str(PROJECT_ROOT)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "taxi_assets.cli.main", *arguments],
            env=self.environ,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def taxi(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, err = process.communicate(timeout=HANG_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def up(self) -> None:
        done = self.taxi("up", "--detach", "--no-dagster")
        assert done.returncode == 0, done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        done = self.taxi("status", "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if found["running"] else 3)
        return found

    def pids(self) -> dict[str, int]:
        return {name: entry["pid"] for name, entry in self.status()["services"].items() if entry["pid"]}

    def env(self) -> dict[str, str]:
        words = [shlex.split(line) for line in self.taxi("env").stdout.splitlines()]
        assert all(word[0] == "export" and len(word) == 2 for word in words)
        return dict(word[1].split("=", 1) for word in words)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    here = Place(tmp_path)
    yield here
    here.taxi("down")
    left = [psutil.Process(pid).cmdline() for pid in psutil.pids() if _data_dir_of(pid) == str(here.data_dir)]
    assert left == []


def _data_dir_of(pid: int) -> str | None:
    try:
        return psutil.Process(pid).environ().get("TAXI_DATA_DIR")
    except psutil.Error:
        return None


def gone(pids: dict[str, int]) -> bool:
    return all(state.identity(pid) is None for pid in pids.values())


def insert(env: dict[str, str], value: int) -> None:
    with psycopg.connect(env["TAXI_POSTGRES_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (%s)", [value])


def kept(env: dict[str, str]) -> list[int]:
    with psycopg.connect(env["TAXI_POSTGRES_URL"]) as connection:
        return [n for (n,) in connection.execute("SELECT n FROM kept ORDER BY n")]


def lake(env: dict[str, str]) -> storage.Bucket:
    client = storage.Client(
        env["GOOGLE_CLOUD_PROJECT"],
        AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": env["STORAGE_EMULATOR_HOST"]},
    )
    return client.bucket(env["TAXI_GCS_BUCKET"])


def warehouse(env: dict[str, str]) -> bigquery.Client:
    return bigquery.Client(
        env["GOOGLE_CLOUD_PROJECT"],
        AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": env["BIGQUERY_EMULATOR_HOST"]},
    )


def listeners(root: psutil.Process) -> set[str]:
    found: set[str] = set()
    for process in [root, *root.children(recursive=True)]:
        # One that has ended meanwhile does not listen; the daemon starts short-lived ones all the time.
        with suppress(psutil.NoSuchProcess):
            connections = process.net_connections("inet")
            found |= {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    return found


LOOPBACK_ONLY = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_data_outlives_a_stop_and_a_kill(place: Place) -> None:
    first = place.taxi("up", "--detach", "--no-dagster")
    assert first.returncode == 0, first.stderr
    assert all(any(line.startswith(f"✓ {name} ") for line in first.stdout.splitlines()) for name in EMBEDDED)
    found = place.status()
    assert found["running"]
    assert found["ui"] is None
    assert {name for name, entry in found["services"].items() if entry["state"] == "running"} == set(EMBEDDED)
    assert listeners(psutil.Process(found["supervisor_pid"])) <= LOOPBACK_ONLY
    second = place.taxi("up", "--detach", "--no-dagster")
    assert second.returncode == 0
    assert "Already running" in second.stdout
    assert place.pids() == {name: found["services"][name]["pid"] for name in EMBEDDED}

    env = place.env()
    insert(env, 1)
    lake(env).blob("raw/a.txt").upload_from_string(b"as published", timeout=HANG_SECONDS, retry=None)
    client = warehouse(env)
    client.create_dataset(env["TAXI_BIGQUERY_DATASET"], timeout=HANG_SECONDS)
    client.query_and_wait("CREATE TABLE taxi.kept AS SELECT 7 AS n", wait_timeout=HANG_SECONDS)

    stopped = place.taxi("down")
    assert stopped.returncode == 0
    assert "postgres" in stopped.stdout
    assert not place.status()["running"]
    assert "Nothing is running" in place.taxi("down").stdout

    place.up()
    pids = place.pids()
    os.kill(place.status()["supervisor_pid"], signal.SIGKILL)
    if sys.platform == "linux":
        # The kernel tells the services; elsewhere the next `taxi up` ends them.
        wait_for(lambda: gone(pids), "their end")
    assert "was killed" in place.status()["reason"]
    place.up()
    assert gone(pids)
    assert kept(env) == [1]
    assert lake(env).blob("raw/a.txt").download_as_bytes(timeout=HANG_SECONDS, retry=None) == b"as published"
    assert [row.n for row in warehouse(env).query_and_wait("SELECT n FROM taxi.kept", wait_timeout=HANG_SECONDS)] == [7]


def test_a_port_in_use_is_named_with_its_variable(place: Place) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(place.variables["TAXI_GCS_PORT"])))
        other.listen()
        for way in ([], ["--detach"]):
            done = place.taxi("up", "--no-dagster", *way)
            assert done.returncode == 1
            port = place.variables["TAXI_GCS_PORT"]
            assert done.stderr == f"taxi: Port {port} is in use; set TAXI_GCS_PORT to another one.\n"
    assert place.pids() == {}
    assert not (place.data_dir / "postgres").exists()


def test_a_crash_of_an_emulator_stops_the_rest_and_is_told(place: Place) -> None:
    place.up()
    pids = place.pids()
    os.kill(pids["bigquery"], signal.SIGKILL)
    wait_for(lambda: place.status()["phase"] == "stopped", "the stop")
    found = place.status()
    assert found["reason"].startswith("bigquery ended with exit code -9 at ")
    assert found["reason"].endswith(f"see {place.data_dir / 'logs' / 'bigquery.log'}.")
    assert found["services"]["bigquery"]["state"] == "crashed"
    assert found["reason"] in (place.data_dir / "logs" / "stack.log").read_text()
    assert "stopped: bigquery ended with exit code -9" in place.taxi("status").stdout
    assert gone(pids)


def test_after_a_crash_what_was_being_written_is_compared_and_mended(place: Place) -> None:
    place.up()
    loaded = place.taxi("materialize", "green", "2020-04")
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    # As the emulator is left by a kill between the DELETE and the INSERT of a month's script.
    env = place.env()
    table = f"{env['GOOGLE_CLOUD_PROJECT']}.{env['TAXI_BIGQUERY_DATASET']}.green_trips"
    with warehouse(env) as client:
        client.query_and_wait(f"DELETE FROM `{table}` WHERE source_month = '2020-04-01'")
        client.create_table(f"{table}__staging_202004_{10**18}_00000000")
    os.kill(place.pids()["bigquery"], signal.SIGKILL)
    wait_for(lambda: place.status()["phase"] == "stopped", "the stop")
    again = place.taxi("up", "--detach", "--no-dagster")
    assert "ended in a crash; comparing what was being written with the lake: green 2020-04." in again.stdout
    assert "green 2020-04 in BigQuery: found rows 0, expected rows " in again.stdout
    assert "; loaded again from the lake." in again.stdout
    verified = place.taxi("verify", "green", "2020-04")
    assert verified.returncode == 0, verified.stdout
    # Compared once; a stop is no crash.
    place.taxi("down")
    assert "ended in a crash" not in place.taxi("up", "--detach", "--no-dagster").stdout


def test_postgres_recovers_after_it_was_killed_amid_work(place: Place) -> None:
    foreground = place.start("up", "--no-dagster")
    wait_for(lambda: place.status()["running"], "the start")
    env = place.env()
    insert(env, 1)
    # Left open: work of a transaction that never ends must be gone afterwards.
    connection = psycopg.connect(env["TAXI_POSTGRES_URL"])
    connection.execute("INSERT INTO kept SELECT * FROM generate_series(1000, 200000)")
    os.kill(place.pids()["postgres"], signal.SIGKILL)
    out, err = foreground.communicate(timeout=HANG_SECONDS)
    assert foreground.returncode == 1
    assert err.startswith("taxi: postgres ended with exit code -9 at ")
    assert err.count("\n") == 1
    # The end of its log, where what its own processes say of its death follows.
    assert re.search("ready to accept connections|unexpected postmaster exit", out)
    place.up()
    assert kept(env) == [1]


def test_ctrl_c_stops_all_and_is_no_failure(place: Place) -> None:
    foreground = place.start("up", "--no-dagster")
    wait_for(lambda: place.status()["running"], "the start")
    pids = place.pids()
    # As a terminal does: to the whole group, of which the services must be no part.
    os.killpg(foreground.pid, signal.SIGINT)
    out, err = foreground.communicate(timeout=HANG_SECONDS)
    assert (foreground.returncode, err) == (0, "")
    assert "Stopped." in out
    assert gone(pids)
    log = (place.data_dir / "logs" / "postgres.log").read_text()
    assert "received fast shutdown request" in log
    assert "database system is shut down" in log


def test_two_ups_at_once_make_one_stack(place: Place) -> None:
    both = [place.start("up", "--detach", "--no-dagster") for _ in range(2)]
    outs = [process.communicate(timeout=HANG_SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    assert sorted("Already running" in out for out, _ in outs) == [False, True]
    supervisors = [pid for pid in psutil.pids() if _is_supervisor_of(pid, place)]
    assert supervisors == [place.status()["supervisor_pid"]]


def _is_supervisor_of(pid: int, place: Place) -> bool:
    try:
        return "taxi_assets.local" in psutil.Process(pid).cmdline() and _data_dir_of(pid) == str(place.data_dir)
    except psutil.Error:
        return False


def test_runs_of_a_killed_stack_are_settled(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    import dagster as dg
    from dagster._core.test_utils import create_run_for_test

    from taxi_assets.runtime import orphaned_runs as runs

    settings = Settings.from_environment(place.variables)
    with Stack(settings, dagster=False, environ=place.environ).running() as stack:
        url = stack.env["DAGSTER_POSTGRES_URL"]
        assert not runs.in_progress(url)
        for name, value in stack.env.items():
            monkeypatch.setenv(name, value)
        with dg.DagsterInstance.get() as instance:
            for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.NOT_STARTED):
                create_run_for_test(instance, job_name=status.value.lower(), status=status)
            assert runs.in_progress(url)
            runs.settle(runs.in_progress(url), "The local stack")
            assert not runs.in_progress(url)
            found = {run.job_name: run for run in instance.get_runs()}
            assert found["started"].status is dg.DagsterRunStatus.FAILURE
            assert found["started"].tags["dagster/will_retry"] == "true"
            assert found["canceling"].status is dg.DagsterRunStatus.CANCELED
            assert found["not_started"].status is dg.DagsterRunStatus.NOT_STARTED


@pytest.mark.skipif(importlib.util.find_spec("taxi_assets.definitions") is None, reason="no definitions yet")
def test_dagster_answers_on_loopback_only(place: Place) -> None:
    done = place.taxi("up", "--detach")
    assert done.returncode == 0, done.stdout + done.stderr
    found = place.status()
    assert {entry["state"] for entry in found["services"].values()} == {"running"}
    assert found["ui"] == f"http://127.0.0.1:{place.variables['TAXI_UI_PORT']}"
    assert found["ui"] in done.stdout
    connection = http.client.HTTPConnection("127.0.0.1", int(place.variables["TAXI_UI_PORT"]), timeout=HANG_SECONDS)
    connection.request("GET", "/")
    answer = connection.getresponse()
    assert answer.status == 200
    assert b"Dagster" in answer.read()
    assert listeners(psutil.Process(found["supervisor_pid"])) <= LOOPBACK_ONLY
    assert place.taxi("down").returncode == 0
    written = {path.name for path in PROJECT_ROOT.iterdir()} & {"storage", "history", "schedules", ".telemetry", ".nux"}
    assert written == set()


def test_dagster_and_dg_find_the_definitions_after_env(place: Place) -> None:
    """Plain `dagster` from any folder, and `dg dev` with a web server and a daemon that have loaded the code."""
    place.up()
    env = {**place.environ, "NO_COLOR": "1"}
    taxi_env = f'eval "$({shlex.quote(sys.executable)} -m taxi_assets.cli.main env)"'
    for command, expected in (("dagster asset list", "green/raw_file"), ("dagster job list", "green_month_job")):
        listed = subprocess.run(
            ["sh", "-c", f"{taxi_env}; exec {command}"], env=env, cwd=place.folder, capture_output=True, text=True
        )
        assert listed.returncode == 0, listed.stderr
        assert expected in listed.stdout
    port = place.variables["TAXI_UI_PORT"]
    with subprocess.Popen(
        ["sh", "-c", f"{taxi_env}; exec dg dev --port {port}"],
        env=env,
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as dev:
        try:
            wait_for(lambda: dev.poll() is not None or "green_month_job" in jobs(port), "the code in the UI of dg dev")
            assert dev.poll() is None, dev.stdout and dev.stdout.read()
        finally:
            dev.send_signal(signal.SIGINT)


def jobs(port: str) -> set[str]:
    """Return the names of the jobs that the UI on this port shows; none while it does not answer."""
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }"
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=HANG_SECONDS)
    try:
        connection.request("POST", "/graphql", json.dumps({"query": query}), {"Content-Type": "application/json"})
        nodes = json.loads(connection.getresponse().read())["data"]["repositoriesOrError"]["nodes"]
    except ConnectionError:
        return set()
    finally:
        connection.close()
    return {job["name"] for node in nodes for job in node["jobs"]}


@pytest.mark.parametrize("name", ["a,b", "it's", 'a "b"'])
def test_a_data_folder_that_the_services_misread_is_refused(name: str, tmp_path: Path) -> None:
    settings = Settings.from_environment({"TAXI_DATA_DIR": str(tmp_path / name)})
    with pytest.raises(ServiceError, match="set TAXI_DATA_DIR to a folder without"):
        make_folders(settings)
    assert not list(tmp_path.iterdir())
