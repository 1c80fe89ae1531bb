"""docker-compose.yaml without Docker: each of its services is run as a process.

The processes get the command, the environment and the health check that the file says. Only what a container
would bring is exchanged: host names, ports and folders, in `Deployment.here`. PostgreSQL is the embedded one.
"""

import base64
import functools
import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from taxi_assets.local import postgres, processes
from taxi_assets.local.ports import LOOPBACK, free_port
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.support.compose_file import PASSWORDS, REQUIRED, compose, copies
from taxi_assets_tests.support.graphql import graphql
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

# From the development extra, where PyPI has it for this machine.
CADDY = shutil.which("caddy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
CADDYFILE = PROJECT_ROOT / "deploy" / "compose" / "Caddyfile"


class Deployment:
    """The services of the file on this machine, with the profile `local`, as without a cloud account."""

    def __init__(self, services: Settings, folder: Path) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("webserver", "webserver-read-only", "gateway", "code", "flower")}
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.copies: list[str] = []
        suffix = uuid.uuid4().hex[:8]
        self.databases = {name: f"{name}_{suffix}" for name in ("dagster", "taxi")}
        self.admin_url = services.local_postgres_url("postgres")
        socket = f"host={services.socket_dir}&port={postgres.PORT}"
        self._exchanged = {
            f"dagster:{REQUIRED['DAGSTER_POSTGRES_PASSWORD']}@dagster-postgres:5432/dagster": (
                f"dagster@/{self.databases['dagster']}?{socket}"
            ),
            f"taxi_loader:{REQUIRED['WAREHOUSE_POSTGRES_PASSWORD']}@warehouse-postgres:5432/taxi": (
                f"taxi_loader@/{self.databases['taxi']}?{socket}"
            ),
            "/opt/dagster": str(folder / "home"),
            **{f"/var/lib/{name}": str(folder / name) for name in ("dagster", "taxi", "storage", "bigquery")},
            "0.0.0.0": LOOPBACK,
            "host: code": f"host: {LOOPBACK}",
            "port: 4000": f"port: {self.ports['code']}",
            "storage-emulator:9023": f"{LOOPBACK}:{(storage := free_port())}",
            "bigquery-emulator:9050": f"{LOOPBACK}:{(bigquery := free_port())}",
            "9023": str(storage),
            "9050": str(bigquery),
            "4000": str(self.ports["code"]),
            "webserver-read-only:3000": f"{LOOPBACK}:{self.ports['webserver-read-only']}",
            "webserver:3000": f"{LOOPBACK}:{self.ports['webserver']}",
            "flower:5555": f"{LOOPBACK}:{self.ports['flower']}",
            "5555": str(self.ports["flower"]),
            "redis:6379": f"{LOOPBACK}:{(redis := free_port())}",
            "--port 6379": f"--port {redis} --bind {LOOPBACK}",
            "6379": str(redis),
            "/tmp/redis.conf": str(folder / "redis.conf"),
            "/data": str(folder),
            "/etc/caddy": str(folder / "home"),
            "2020": str(free_port()),
            # The ports that the gateway has in its container.
            "admin off": f"admin off\n\thttp_port {self.ports['gateway']}\n\thttps_port {free_port()}",
        }
        # Nothing that the shell has set: a container would not see it either.
        self._machine = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "HOME": str(folder / "user"),
            "PYTHONPATH": str(PROJECT_ROOT),
            "DAGSTER_HOME": str(folder / "home"),
            # What listens beside the ports of the file.
            "BQEMU_GRPC_PORT": str(free_port()),
        }
        self.config = compose(
            TAXI_ENV="local",
            TAXI_SAMPLE_ROWS="1000",
            TAXI_GCP_PROJECT="taxi-local",
            TAXI_GCS_BUCKET="taxi-local",
            REDIS_PASSWORD="r3dis",
        )["services"]

    def here(self, text: str, name: str = "") -> str:
        """Return the text with this machine's addresses, ports and folders; `name` is the service that says it."""
        exchanged = self._exchanged | {"3000": str(self.ports.get(name, "")), "%h": name}
        if name in self.copies:
            exchanged["/var/lib/taxi"] = str(self.folder / name)
        once = re.compile("|".join(map(re.escape, exchanged)))
        return once.sub(lambda match: exchanged[match[0]], text)

    def port_of(self, port: str) -> str:
        """Return what stands for a port of the file on this machine."""
        return self._exchanged[port]

    def environment(self, name: str) -> dict[str, str]:
        said = {key: self.here(value, name) for key, value in self.config[name].get("environment", {}).items()}
        return self._machine | {"HOSTNAME": name} | said

    def scale(self, name: str, number: int) -> list[str]:
        """Return names for copies of a service, as `--scale` makes them, each with its own data folder."""
        self.copies = [f"{name}-{index + 1}" for index in range(number)]
        self.config |= dict.fromkeys(self.copies, self.config[name])
        return self.copies

    def prepare(self) -> None:
        """Prepare what the image and the other containers bring: folders, configuration, roles and databases."""
        for name in ("home", "dagster", "taxi", "storage", "bigquery", "user"):
            (self.folder / name).mkdir()
        for source, target in copies().items():
            if target == "/opt/dagster/":
                text = (PROJECT_ROOT / source).read_text()
                (self.folder / "home" / Path(source).name).write_text(self.here(text))
        (self.folder / "home" / "Caddyfile").write_text(self.here(CADDYFILE.read_text()))
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for name in self.databases.values():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        for name, script in (("dagster", "dagster.sql"), ("taxi", "roles.sql")):
            service = f"{'warehouse' if name == 'taxi' else name}-postgres"
            url = self.admin_url.replace("/postgres?", f"/{self.databases[name]}?")
            run_sql(url, PROJECT_ROOT / "deploy" / "postgres" / script, self.config[service]["environment"])

    @functools.cached_property
    def instance(self) -> dg.DagsterInstance:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment("webserver").items():
                if name.startswith("DAGSTER_"):
                    patch.setenv(name, value)
            return dg.DagsterInstance.from_config(self._machine["DAGSTER_HOME"])

    def start(self, name: str) -> None:
        command = [self.here(word, name) for word in self.config[name]["command"]]
        self.children[name] = processes.spawn(
            command, self.environment(name), self.folder / "home", self.log(name), signal.SIGTERM
        )

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def is_healthy(self, name: str) -> bool:
        """Return whether the service's own health check, run as Docker would, says so."""
        check = self.config[name]["healthcheck"]
        kind, *words = [self.here(word, name) for word in check["test"]]
        with suppress(subprocess.TimeoutExpired):
            done = subprocess.run(
                words if kind == "CMD" else ["sh", "-c", *words],
                env=self.environment(name),
                cwd=self.folder / "home",
                capture_output=True,
                timeout=float(check["timeout"].removesuffix("s")),
            )
            return done.returncode == 0
        return False

    def become_healthy(self, name: str) -> None:
        # A check is a process that costs as much as a start: asked at once again, it would slow down what it waits for.
        wait_for(
            lambda: self.children[name].poll() is not None or self.is_healthy(name),
            f"the health of {name}",
            pause=2,
            report=lambda: processes.tail(self.log(name), 30),
        )
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

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def ask(
        self, method: str, path: str, user: str | None = None, body: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of the gateway's answer to that user, or to nobody."""
        connection = http.client.HTTPConnection(LOOPBACK, self.ports["gateway"], timeout=HANG_SECONDS)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent | (login(user) if user else {}))
        response = connection.getresponse()
        try:
            return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        finally:
            connection.close()

    def graphql(self, query: str, service: str = "webserver", **variables: Any) -> Any:
        """Return the data of a webserver's answer to a direct request."""
        return graphql(self.ports[service], query, variables)


def login(user: str) -> dict[str, str]:
    """Return the header that a browser sends for that user."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode()}


def run_sql(url: str, script: Path, environment: dict[str, str]) -> None:
    """Run a script as the image of PostgreSQL would, by psql and with these variables."""
    done = subprocess.run(
        [str(postgres.bin_dir() / "psql"), "-X", "--no-password", "-v", "ON_ERROR_STOP=1", "-f", str(script), url],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    assert done.returncode == 0, done.stderr
