"""docker-compose.yaml without Docker: each of its Dagster services is run as a process.

The processes get the command, the environment and the health check that the file says. Only what a container
would bring is exchanged: host names, ports and folders, in `Deployment.here`.
"""

import functools
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from psycopg import sql

from taxi_assets.build import build_resources
from taxi_assets.local import postgres, processes
from taxi_assets.local.ports import LOOPBACK, free_port
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.compose_file import DAGSTER_SERVICES, REQUIRED, compose, copies


class Deployment:
    """The Dagster services of the file on this machine, with the embedded services in place of the others."""

    def __init__(self, services: Settings, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        suffix = uuid.uuid4().hex[:8]
        self.databases = {name: f"{name}_{suffix}" for name in ("dagster", "taxi")}
        self.admin_url = services.local_postgres_url("postgres")
        socket = f"host={services.socket_dir}&port={postgres.PORT}"
        self._exchanged = {
            f"dagster:{REQUIRED['DAGSTER_POSTGRES_PASSWORD']}@dagster-postgres:5432/dagster": (
                f"{self.databases['dagster']}@/{self.databases['dagster']}?{socket}"
            ),
            f"taxi:{REQUIRED['WAREHOUSE_POSTGRES_PASSWORD']}@warehouse-postgres:5432/taxi": (
                f"{self.databases['taxi']}@/{self.databases['taxi']}?{socket}"
            ),
            "/opt/dagster": str(folder / "home"),
            "/var/lib/dagster": str(folder / "dagster"),
            "/var/lib/taxi": str(folder / "taxi"),
            "0.0.0.0": LOOPBACK,
            "host: code": f"host: {LOOPBACK}",
            "4000": str(free_port()),
            "3000": str(self.port),
        }
        # Nothing that the shell has set: a container would not see it either.
        self._machine = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(folder / "user"),
            "PYTHONPATH": str(PROJECT_ROOT),
            "DAGSTER_HOME": str(folder / "home"),
        }
        self._emulators = {
            "STORAGE_EMULATOR_HOST": services.storage_emulator_host or "",
            "BIGQUERY_EMULATOR_HOST": services.bigquery_emulator_host or "",
            "TAXI_SAMPLE_ROWS": "1000",
        }
        self.config = compose(
            TAXI_SOURCE="sample",
            TAXI_GCP_PROJECT=services.gcp_project or "",
            TAXI_GCS_BUCKET=f"compose-{suffix}",
            TAXI_BIGQUERY_DATASET=f"compose_{suffix}",
        )["services"]

    def here(self, text: str) -> str:
        """The text with this machine's addresses, ports and folders."""
        once = re.compile("|".join(map(re.escape, self._exchanged)))
        return once.sub(lambda match: self._exchanged[match[0]], text)

    def environment(self, name: str) -> dict[str, str]:
        said = {key: self.here(value) for key, value in self.config[name]["environment"].items()}
        return self._machine | (self._emulators if name == "code" else {}) | said

    def prepare(self) -> None:
        """What the image and the other containers bring: folders, configuration, roles and databases, bucket."""
        for name in ("home", "dagster", "taxi", "user"):
            (self.folder / name).mkdir()
        for source, target in copies().items():
            if target == "/opt/dagster/":
                text = (PROJECT_ROOT / source).read_text()
                (self.folder / "home" / Path(source).name).write_text(self.here(text))
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for name in self.databases.values():
                # The owner of its database and nothing more, although the image of PostgreSQL makes a superuser.
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
                connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
        lake = build_resources(Settings.from_environment(self.environment("code")))["lake"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", self._emulators["STORAGE_EMULATOR_HOST"])
            lake.get_client().create_bucket(lake.bucket)

    @functools.cached_property
    def instance(self) -> DagsterInstance:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment("webserver").items():
                if name.startswith("DAGSTER_"):
                    patch.setenv(name, value)
            return DagsterInstance.from_config(self._machine["DAGSTER_HOME"])

    def start(self, name: str) -> None:
        command = [self.here(word) for word in self.config[name]["command"]]
        self.children[name] = processes.spawn(
            command, self.environment(name), self.folder / "home", self.log(name), signal.SIGTERM
        )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def is_healthy(self, name: str) -> bool:
        """Whether the service's own health check, run as Docker would, says so."""
        check = self.config[name]["healthcheck"]
        done = subprocess.run(
            [self.here(word) for word in check["test"][1:]],
            env=self.environment(name),
            cwd=self.folder / "home",
            capture_output=True,
            timeout=float(check["timeout"].removesuffix("s")),
        )
        return done.returncode == 0

    def become_healthy(self, name: str) -> None:
        seconds = float(self.config[name]["healthcheck"]["start_period"].removesuffix("s"))
        wait_for(lambda: self.children[name].poll() is not None or self.is_healthy(name), seconds, name)
        assert self.children[name].poll() is None, processes.tail(self.log(name), 30)

    def stop(self) -> None:
        for child in reversed(self.children.values()):
            child.terminate()
        for child in self.children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(15)
        for name in self.children:
            self.kill(name)

    def kill(self, name: str) -> None:
        """End the service and all that it started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.children[name].pid, signal.SIGKILL)
        self.children[name].wait(5)

    def status(self, run_id: str) -> DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def graphql(self, query: str, **variables: Any) -> Any:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=30)
        body = json.dumps({"query": query, "variables": variables})
        connection.request("POST", "/graphql", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        assert "errors" not in answer, answer
        return answer["data"]


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def deployment(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    deployment = Deployment(services, tmp_path_factory.mktemp("compose"))
    deployment.prepare()
    with ThreadPoolExecutor() as pool:
        # A check that passes when nothing runs is none.
        assert not any(pool.map(deployment.is_healthy, DAGSTER_SERVICES))
    try:
        deployment.start("code")
        deployment.become_healthy("code")
        deployment.start("webserver")
        deployment.start("daemon")
        with ThreadPoolExecutor() as pool:
            list(pool.map(deployment.become_healthy, ("webserver", "daemon")))
        yield deployment
    finally:
        deployment.stop()
        deployment.instance.dispose()


def test_webserver_shows_the_code_of_the_code_server(deployment: Deployment) -> None:
    answer = deployment.graphql(
        """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
            __typename ... on RepositoryLocation { repositories { name jobs { name } } } } } } } }"""
    )
    [entry] = answer["workspaceOrError"]["locationEntries"]
    assert (entry["name"], entry["loadStatus"]) == ("taxi_assets.definitions", "LOADED")
    [repository] = entry["locationOrLoadError"]["repositories"]
    assert {"yellow_month_job", "green_month_job"} <= {job["name"] for job in repository["jobs"]}


def test_daemon_reports_to_the_webserver(deployment: Deployment) -> None:
    query = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
    statuses = deployment.graphql(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
    assert [status for status in statuses if status["required"] and not status["healthy"]] == []
    assert "QUEUED_RUN_COORDINATOR" in {status["daemonType"] for status in statuses if status["healthy"]}


def test_month_reaches_the_warehouse_even_if_the_code_server_is_killed_on_the_way(deployment: Deployment) -> None:
    answer = deployment.graphql(
        """mutation ($parameters: ExecutionParams!) { launchRun(executionParams: $parameters) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
        parameters={
            "selector": {
                "repositoryLocationName": "taxi_assets.definitions",
                "repositoryName": "__repository__",
                "jobName": "green_month_job",
            },
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": "2020-04-01"}]},
        },
    )
    assert answer["launchRun"]["__typename"] == "LaunchRunSuccess", answer
    killed = answer["launchRun"]["run"]["runId"]
    wait_for(lambda: deployment.status(killed) is DagsterRunStatus.STARTED, 30, "the run")
    # It runs in the code server's session: this ends both, as the end of a container would.
    deployment.kill("code")
    deployment.start("code")
    wait_for(lambda: deployment.status(killed) is DagsterRunStatus.FAILURE, 60, "the killed run")

    def retries() -> list[DagsterRun]:
        return [run for run in deployment.instance.get_runs() if run.parent_run_id == killed]

    wait_for(lambda: bool(retries()) and retries()[0].is_finished, 60, "its retry")
    assert [run.status for run in retries()] == [DagsterRunStatus.SUCCESS], processes.tail(deployment.log("code"), 30)
    # In the code server's folders: it ran there, and the webserver finds its output in the volume they share.
    assert list((deployment.folder / "taxi" / "cache").rglob("green_trips_2020-04.parquet"))
    assert list((deployment.folder / "dagster").rglob("*.err"))
    with psycopg.connect(deployment.environment("code")["TAXI_POSTGRES_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM taxi.green_trips").fetchone()
        assert row is not None and 900 < row[0] <= 1000


def test_nothing_is_written_where_the_image_belongs_to_root(deployment: Deployment) -> None:
    files = {path.name for path in (deployment.folder / "home").rglob("*") if path.is_file()}
    assert files == {"code_server.py", "dagster.yaml", "workspace.yaml"}
