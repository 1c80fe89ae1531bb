"""What the services are: command, environment, folder, health check and way to stop of each.

Nothing is started here; `stack.py` does that with whatever this module describes.
"""

import datetime
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from taxi_assets.errors import ServiceError
from taxi_assets.local import postgres
from taxi_assets.local.environment import environment, ports, psycopg_url
from taxi_assets.local.ports import LOOPBACK
from taxi_assets.settings import PROJECT_ROOT, Settings

__all__ = ["Service", "address_and_log", "build_stages", "environment", "ports"]

WORKSPACE = PROJECT_ROOT / "workspace.yaml"
STAGES = (("postgres", "gcs", "bigquery"), ("webserver", "daemon"))


def _nothing() -> None:
    return


@dataclass(frozen=True)
class Service:
    """One process to run. `env` is complete; `stop` is the signals to try in turn, with seconds for each."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    address: str
    is_ready: Callable[[], bool]
    ready_within: float
    stop: list[tuple[signal.Signals, float]]
    prepare: Callable[[], None] = field(default=_nothing)
    # Texts in the log of a start that failed for a transient reason.
    passing_failures: tuple[str, ...] = ()


def address_and_log(settings: Settings) -> dict[str, tuple[str, Path]]:
    """Return where each service answers and writes, known without it running."""
    addresses = {
        "postgres": f"socket {settings.socket_dir}",
        "gcs": f"http://{LOOPBACK}:{settings.gcs_port}",
        "bigquery": f"http://{LOOPBACK}:{settings.bigquery_port}",
        "webserver": f"http://{LOOPBACK}:{settings.ui_port}",
        "daemon": "no port",
    }
    return {name: (address, settings.data_dir / "logs" / f"{name}.log") for name, address in addresses.items()}


def build_stages(
    settings: Settings, environ: Mapping[str, str], *, dagster: bool, workspace: Path = WORKSPACE
) -> list[list[Service]]:
    """Return the services in the order of their start; all of one stage start at once."""
    env = {**environ, **environment(settings, environ)}
    stages = [[_postgres(settings, env), _gcs(settings, env), _bigquery(settings, env)]]
    if dagster:
        stages.append([_webserver(settings, env, workspace), _daemon(settings, env, workspace)])
    return stages


def _postgres(settings: Settings, env: Mapping[str, str]) -> Service:
    address, log = address_and_log(settings)["postgres"]
    return Service(
        name="postgres",
        command=postgres.server_command(settings),
        env=env,
        cwd=settings.data_dir,
        log=log,
        address=address,
        prepare=lambda: postgres.prepare(settings),
        is_ready=lambda: postgres.is_ready(settings),
        # Recovery after a kill replays up to 4 GB of WAL.
        ready_within=120,
        # Fast shutdown writes a checkpoint; the immediate one leaves that to recovery at the next start.
        stop=[(signal.SIGINT, 30), (signal.SIGQUIT, 5)],
        # Backends of a server that was killed leave a moment after it.
        passing_failures=("is still in use", 'lock file "postmaster.pid" already exists'),
    )


def _gcs(settings: Settings, env: Mapping[str, str]) -> Service:
    address, log = address_and_log(settings)["gcs"]
    bucket = settings.gcs_bucket or ""
    module = [sys.executable, "-m", "taxi_assets.local.storage_emulator"]
    folder = settings.data_dir / "gcs"
    serve = ["start", "--port", str(settings.gcs_port), "-H", LOOPBACK, "-q", "--default-bucket", bucket]
    return Service(
        name="gcs",
        command=[*module, "-d", str(folder), *serve],
        env=_importable(env),
        cwd=folder,
        log=log,
        address=address,
        is_ready=lambda: _answers(settings.gcs_port, f"/storage/v1/b/{bucket}"),
        ready_within=60,
        # SIGINT lets it finish the request in hand.
        stop=[(signal.SIGINT, 10), (signal.SIGTERM, 2)],
    )


def _bigquery(settings: Settings, env: Mapping[str, str]) -> Service:
    address, log = address_and_log(settings)["bigquery"]
    module = [sys.executable, "-m", "taxi_assets.local.bigquery_emulator"]
    folder = settings.data_dir / "bigquery"
    listen = ["--rest-host", LOOPBACK, "--rest-port", str(settings.bigquery_port)]
    listen += ["--grpc-host", LOOPBACK, "--grpc-port", str(settings.bigquery_grpc_port)]
    keep = ["--persistent", "--data-dir", str(folder), "--project", settings.gcp_project or ""]
    own = {
        # DuckDB keeps extensions in the user's home folder; ours must not appear there.
        "HOME": str(folder / "home"),
        "BQEMU_GCS_LOCAL_ROOT": str(settings.data_dir / "gcs" / ".cloudstorage"),
        "BQEMU_UPLOAD_STAGING_DIR": str(folder / "uploads"),
    }
    return Service(
        name="bigquery",
        command=[*module, "start", *listen, *keep, "--log-level", "warning"],
        env={**_importable(env), **own},
        cwd=folder,
        log=log,
        address=address,
        is_ready=lambda: _answers(settings.bigquery_port, "/healthz"),
        ready_within=120,
        stop=[(signal.SIGTERM, 10)],
    )


def _webserver(settings: Settings, env: Mapping[str, str], workspace: Path) -> Service:
    address, log = address_and_log(settings)["webserver"]
    listen = ["-h", LOOPBACK, "-p", str(settings.ui_port)]
    return Service(
        name="webserver",
        command=[sys.executable, "-m", "dagster_webserver", *listen, "-w", str(workspace)],
        env=_importable(env),
        cwd=_dagster_folder(settings),
        log=log,
        address=address,
        prepare=lambda: _prepare_instance(settings, _importable(env)),
        is_ready=lambda: _answers(settings.ui_port, "/server_info"),
        ready_within=180,
        stop=[(signal.SIGTERM, 10)],
    )


def _daemon(settings: Settings, env: Mapping[str, str], workspace: Path) -> Service:
    address, log = address_and_log(settings)["daemon"]
    since = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return Service(
        name="daemon",
        command=[sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)],
        env=_importable(env),
        cwd=_dagster_folder(settings),
        log=log,
        address=address,
        is_ready=lambda: _has_heartbeat(env["DAGSTER_POSTGRES_URL"], since),
        ready_within=180,
        stop=[(signal.SIGTERM, 10)],
    )


def _dagster_folder(settings: Settings) -> Path:
    # Not the project's root: Dagster lets the .env of its working folder override the environment, which
    # would undo `TAXI_SOURCE=... taxi up`. The command has read that file already.
    return settings.data_dir / "dagster"


def _importable(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with this project importable from any folder, installed or not."""
    # A user may have set it for another project. These processes have a workspace file, and Dagster takes only one.
    env = {name: value for name, value in env.items() if name != "DAGSTER_MODULE_NAME"}
    path = [str(PROJECT_ROOT), *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    return {**env, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


def _answers(port: int, path: str) -> bool:
    # http.client uses no proxy, which could not reach this machine.
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _has_heartbeat(url: str, since: datetime.datetime) -> bool:
    """Return whether a Dagster daemon has reported since then; `dagster-daemon liveness-check` takes seconds."""
    try:
        with psycopg.connect(psycopg_url(url), connect_timeout=5) as connection:
            row = connection.execute("SELECT max(timestamp) FROM daemon_heartbeats").fetchone()
            return bool(row and row[0] and row[0] > since)
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return False


def _prepare_instance(settings: Settings, env: Mapping[str, str]) -> None:
    """Settle the runs of a stack that was killed, and create the pools, before Dagster starts."""
    url = env["DAGSTER_POSTGRES_URL"]
    # In a database of the user's own, runs of other machines may be in progress.
    if psycopg_url(url) != settings.local_postgres_url("dagster"):
        return
    folder = _dagster_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "logs" / "runs.log").open("wb") as log:
        for module in ("orphaned_runs", "pools"):
            command = [sys.executable, "-m", f"taxi_assets.runtime.{module}"]
            done = subprocess.run(
                command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120, check=False
            )
            if done.returncode != 0:
                raise ServiceError(f"Dagster's instance could not be prepared ({module}); see {log.name}.")
