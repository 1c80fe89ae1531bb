"""What plain `dagster`, `psql` and Google's clients need in their environment to meet the local stack.

One function serves `taxi env`, the services themselves, the demo and the tests.
"""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from taxi_assets.local import postgres
from taxi_assets.local.proxies import bypass_for_loopback
from taxi_assets.settings import PORT_DEFAULTS, PROJECT_ROOT, Settings

# Dagster's storage works with this driver alone, and SQLAlchemy does not know `postgres://`.
DAGSTER_SCHEME = "postgresql+psycopg2://"
DEFINITIONS = "taxi_assets.definitions"
# The commands of `dagster` that take a module and start no services. Each reads a variable of its own. One
# DAGSTER_MODULE_NAME for all of them would also reach the web server and the daemon that `dg dev` and `dagster dev`
# start with a workspace file, and both stop if they get a module beside it.
DAGSTER_COMMANDS = (
    *("asset list", "asset materialize", "definitions validate", "run migrate-repository"),
    *("job backfill", "job execute", "job launch", "job list", "job print", "job scaffold_config"),
    *("schedule list", "schedule logs", "schedule preview", "schedule restart", "schedule start", "schedule stop"),
    *("sensor cursor", "sensor list", "sensor preview", "sensor start", "sensor stop"),
)


def environment(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables to set, without those of `environ` that stay as they are.

    What `environ` already holds wins. With `TAXI_ENV=cloud` there is no variable of an emulator and none
    with a secret: with `cloud`, users set those themselves.
    """
    values = {
        "DAGSTER_LOCAL_DIR": str(settings.data_dir / "dagster"),
        "TAXI_ENV": settings.env,
        "TAXI_BIGQUERY_DATASET": settings.bigquery_dataset,
        "TAXI_BIGQUERY_LOCATION": settings.bigquery_location,
    }
    # As `-m` would: `dagster asset materialize` reads no workspace.yaml, and the others only in their own folder.
    values |= {module_variable(command): DEFINITIONS for command in DAGSTER_COMMANDS}
    if settings.gcp_project:
        values |= {"TAXI_GCP_PROJECT": settings.gcp_project, "GOOGLE_CLOUD_PROJECT": settings.gcp_project}
    if settings.gcs_bucket:
        values["TAXI_GCS_BUCKET"] = settings.gcs_bucket
    if settings.env == "local":
        values |= _local(settings, environ)
    values = {name: environ.get(name) or value for name, value in values.items()}
    if "DAGSTER_POSTGRES_URL" in values:
        url = psycopg_url(values["DAGSTER_POSTGRES_URL"])
        values["DAGSTER_POSTGRES_URL"] = url.replace("postgresql://", DAGSTER_SCHEME, 1)
    # The rest is not kept as found: a path is made absolute, a list gets entries, and a DAGSTER_HOME that
    # somebody exports for another project would silently give this one another instance.
    values["DAGSTER_HOME"] = str(PROJECT_ROOT)
    values["TAXI_DATA_DIR"] = str(settings.data_dir)
    if environ.get("TAXI_SAMPLE_ROWS"):
        values["TAXI_SAMPLE_ROWS"] = environ["TAXI_SAMPLE_ROWS"]
    values["PATH"] = _path(settings, environ)
    return values | bypass_for_loopback(environ)


def module_variable(command: str) -> str:
    """Return the variable that sets `--module-name` of a command of `dagster`, as click builds its name."""
    return f"DAGSTER_CLI_{re.sub('[ -]', '_', command).upper()}_MODULE_NAME"


def leftovers(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables that `taxi env` of the local stack has set, and that mislead `TAXI_ENV=cloud`.

    A variable counts only if it still has the local stack's value: others are the user's own.
    """
    if environ.get("TAXI_ENV") != "cloud":
        return []
    kept = {name: environ[name] for name in (*PORT_DEFAULTS, "TAXI_DATA_DIR") if environ.get(name)}
    values = environment(Settings.from_environment(kept), {})
    names = ["STORAGE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST", "TAXI_POSTGRES_URL", "DAGSTER_POSTGRES_URL"]
    names += ["TAXI_GCP_PROJECT", "GOOGLE_CLOUD_PROJECT", "TAXI_GCS_BUCKET", "DAGSTER_LOCAL_DIR"]
    if environ.get("PGHOST") == values["PGHOST"]:
        names += ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE"]
    return [name for name in names if environ.get(name) == values[name]]


def missing(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the variables that `TAXI_ENV=cloud` needs and that are not set; locally there are none."""
    needed = ("DAGSTER_POSTGRES_URL", "TAXI_POSTGRES_URL", "TAXI_GCP_PROJECT", "TAXI_GCS_BUCKET")
    return [name for name in needed if settings.env == "cloud" and not environ.get(name)]


def _local(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    values = {
        # dagster-postgres listens with psycopg2; SQLAlchemy 2.1 takes a plain postgresql:// for psycopg 3.
        "DAGSTER_POSTGRES_URL": settings.local_postgres_url("dagster", driver="postgresql+psycopg2"),
        "TAXI_POSTGRES_URL": settings.local_postgres_url("taxi"),
        "STORAGE_EMULATOR_HOST": settings.storage_emulator_host or "",
        "BIGQUERY_EMULATOR_HOST": settings.bigquery_emulator_host or "",
    }
    for name, value in ports(settings).items():
        if value != PORT_DEFAULTS[name]:
            values[name] = str(value)
    socket = {
        "PGHOST": str(settings.socket_dir),
        "PGPORT": str(postgres.PORT),
        "PGUSER": "postgres",
        "PGDATABASE": "taxi",
    }
    own_warehouse = environ.get("TAXI_POSTGRES_URL", values["TAXI_POSTGRES_URL"]) != values["TAXI_POSTGRES_URL"]
    own_server = environ.get("PGHOST", socket["PGHOST"]) != socket["PGHOST"]
    # All or none: half of them would lead psql to a server that is neither the user's nor this one.
    return values if own_warehouse or own_server else values | socket


def ports(settings: Settings) -> dict[str, int]:
    """Return each port by the variable that sets it."""
    return {
        "TAXI_UI_PORT": settings.ui_port,
        "TAXI_GCS_PORT": settings.gcs_port,
        "TAXI_BIGQUERY_PORT": settings.bigquery_port,
        "TAXI_BIGQUERY_GRPC_PORT": settings.bigquery_grpc_port,
    }


def psycopg_url(url: str) -> str:
    """Return the URL without SQLAlchemy's name of a driver, which libpq does not know."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)


def _path(settings: Settings, environ: Mapping[str, str]) -> str:
    # This Python's programs first, so that `dagster` is the one of this project without activating anything;
    # PostgreSQL's last, so that a psql of the machine stays the one in use.
    first = [str(Path(sys.executable).parent)]
    last = [str(postgres.bin_dir())] if settings.env == "local" else []
    present = [part for part in environ.get("PATH", os.defpath).split(os.pathsep) if part not in (*first, *last)]
    return os.pathsep.join([*first, *present, *last])
