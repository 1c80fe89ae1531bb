"""docker-compose.yaml, without Docker: its text is checked, and each of its Dagster services is run as a process.

The processes get the command, the environment and the health check that the file says. Only what a container
would bring is exchanged: host names, ports and folders, in `Deployment.here`.
"""

import fnmatch
import functools
import http.client
import importlib.resources
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus
from psycopg import sql

from taxi_assets.build import build_resources
from taxi_assets.local import postgres, processes
from taxi_assets.local.ports import LOOPBACK, free_port
from taxi_assets.settings import PROJECT_ROOT, VARIABLES, Settings

COMPOSE = PROJECT_ROOT / "docker-compose.yaml"
DOCKERFILE = PROJECT_ROOT / "Dockerfile"
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
# What the file needs, and nothing that it could do without.
REQUIRED = {
    "DAGSTER_POSTGRES_PASSWORD": "d4gster",
    "WAREHOUSE_POSTGRES_PASSWORD": "w4rehouse",
    "TAXI_GCP_PROJECT": "a-project",
    "TAXI_GCS_BUCKET": "a-bucket",
    "GOOGLE_APPLICATION_CREDENTIALS": "/etc/taxi/key.json",
}
DAGSTER_SERVICES = ("code", "webserver", "daemon")


class RequiredVariable(Exception):
    """What compose says of `${NAME:?sentence}` when NAME is not set."""


def interpolate(node: Any, values: Mapping[str, str]) -> Any:
    """The node with compose's three forms of variables replaced."""
    if isinstance(node, dict):
        return {key: interpolate(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [interpolate(value, values) for value in node]
    return VARIABLE.sub(lambda match: _value(match, values), node) if isinstance(node, str) else node


def _value(match: re.Match[str], values: Mapping[str, str]) -> str:
    name, kind, rest = match.groups()
    if not values.get(name) and kind == "?":
        raise RequiredVariable(f"{name}: {rest}")
    return values.get(name) or (rest if kind == "-" else "")


def compose(**values: str) -> dict[str, Any]:
    """The file as compose would understand it with these variables."""
    return interpolate(yaml.safe_load(COMPOSE.read_text()), REQUIRED | values)


def mentions() -> list[tuple[str, str | None, str]]:
    """Name, `-` or `?` or nothing, and the text after it, for each variable in the file's values."""
    return [match.groups() for match in VARIABLE.finditer(json.dumps(yaml.safe_load(COMPOSE.read_text())))]


# The file.


def test_file_follows_the_compose_specification() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="comes with check-jsonschema, which is not installed")
    pytest.importorskip("check_jsonschema", reason="it brings the specification's schema and is not installed")
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    jsonschema.validate(compose(), json.loads((folder / "compose-spec.json").read_text()))


def test_docker_compose_accepts_the_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "compose", "version"], capture_output=True, timeout=30).returncode:
        pytest.skip("there is no docker client with the compose plugin")
    done = subprocess.run(
        [docker, "compose", "-f", str(COMPOSE), "--env-file", os.devnull, "config", "--quiet"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **REQUIRED},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_names_that_the_file_refers_to_are_there() -> None:
    config = compose()
    services = config["services"]
    mounted = set()
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service["volumes"]:
            if isinstance(volume, str):
                mounted.add(volume.split(":")[0])
            else:
                # The only path of the host is the user's key; nothing of the project is mounted.
                assert volume["source"] == REQUIRED["GOOGLE_APPLICATION_CREDENTIALS"]
                assert volume["read_only"] and not volume["bind"]["create_host_path"]
                assert volume["target"] == service["environment"]["GOOGLE_APPLICATION_CREDENTIALS"]
    assert mounted == set(config["volumes"])


@pytest.mark.parametrize("name", ["dagster-postgres", "warehouse-postgres", *DAGSTER_SERVICES])
def test_service_is_pinned_checked_and_restarted(name: str) -> None:
    service = compose()["services"][name]
    assert re.fullmatch(r"[\w-]+:\d+(\.\d+)+", service["image"])
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert all(entry == {"condition": "service_healthy"} for entry in service.get("depends_on", {}).values())


def test_no_service_is_missing_here() -> None:
    assert set(compose()["services"]) == {"dagster-postgres", "warehouse-postgres", *DAGSTER_SERVICES}


def test_only_the_ui_is_published_and_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert published == {"webserver": ["127.0.0.1:3000:3000"]}
    assert compose(TAXI_UI_PORT="8080")["services"]["webserver"]["ports"] == ["127.0.0.1:8080:3000"]


@pytest.mark.parametrize("name", REQUIRED)
def test_required_variable_is_asked_for_by_name(name: str) -> None:
    with pytest.raises(RequiredVariable, match=f"{name}: Set {name} in .env to .{{20,}}"):
        compose(**{name: ""})


def test_no_other_variable_is_required_and_none_has_a_password_as_default() -> None:
    assert {name for name, kind, _ in mentions() if kind == "?"} == set(REQUIRED)
    assert {rest for _, kind, rest in mentions() if kind == "-"} == {"", "3000"}
    assert all(kind for _, kind, _ in mentions())


def test_every_variable_is_described_in_env_example() -> None:
    described = set(re.findall(r"^(?:# )?(\w+)=", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {name for name, _, _ in mentions()} <= described


def test_code_gets_only_settings_that_it_knows() -> None:
    environment = compose()["services"]["code"]["environment"]
    assert {name for name in environment if name.startswith("TAXI_")} <= set(VARIABLES)
    settings = Settings.from_environment(environment)
    assert (settings.env, settings.bigquery_dataset, settings.storage_emulator_host) == ("cloud", "taxi", None)
    assert settings.source.startswith("https://")


def test_only_code_holds_the_keys_of_sources_and_sinks() -> None:
    for name in ("webserver", "daemon"):
        assert set(compose()["services"][name]["environment"]) == {"DAGSTER_POSTGRES_URL", "DAGSTER_LOCAL_DIR"}


# The image.


def copies() -> dict[str, str]:
    """Target of each path that the Dockerfile copies."""
    found = {}
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE.read_text(), re.MULTILINE):
        *sources, target = line.split()
        found |= dict.fromkeys(sources, target)
    return found


def test_image_copies_what_is_there_and_sees_nothing_else() -> None:
    allowed = [line[1:] for line in (PROJECT_ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sorted(copies()) == sorted(allowed)
    assert all((PROJECT_ROOT / path).exists() for path in allowed)
    assert not any(fnmatch.fnmatch(name, pattern) for pattern in allowed for name in (".env", ".taxi", "key.json"))


def test_image_is_pinned_has_no_dev_extras_and_does_not_run_as_root() -> None:
    text = DOCKERFILE.read_text()
    assert re.findall(r"^FROM (.+)$", text, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    assert "-c constraints.txt" in text and "[dev]" not in text
    assert text.rstrip().endswith("USER taxi")


def test_volumes_of_dagster_are_folders_that_the_image_gives_to_its_user() -> None:
    [made] = re.findall(r"install -d -o taxi -g taxi (.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    services = compose()["services"]
    volumes = [volume for name in DAGSTER_SERVICES for volume in services[name]["volumes"] if isinstance(volume, str)]
    assert {volume.split(":")[1] for volume in volumes} == set(made.split())


# The services, as processes.


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
