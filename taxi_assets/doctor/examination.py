"""All checks of `taxi doctor`, in the order in which they are shown."""

import os
from contextlib import ExitStack
from typing import Any

from taxi_assets.defs.build import build_resources
from taxi_assets.doctor import databases, google, machine, source
from taxi_assets.doctor.check import Check, Line, Result, ok, run_checks
from taxi_assets.errors import TaxiError
from taxi_assets.local import supervisor
from taxi_assets.local.environment import environment, missing
from taxi_assets.settings import Settings

SERVICES = ("bucket", "BigQuery", "PostgreSQL", "Dagster's database")


def examine() -> list[Line]:
    """Run every check of the environment that is set."""
    try:
        settings = Settings.from_environment()
        # As every command and run has it.
        os.environ.update(environment(settings))
        settings = Settings.from_environment()
    except TaxiError as error:
        return [Line("settings", "failed", str(error))]
    try:
        resources = _resources(settings)
    except TaxiError as error:
        return [Line("settings", "failed", str(error))]
    checks = [
        Check("settings", lambda: _settings(settings)),
        *google.checks(settings, resources),
        *databases.checks(resources),
        *source.checks(resources),
        *machine.checks(settings),
    ]
    if settings.env == "local" and not supervisor.status(settings)["running"]:
        checks = [check if check.name not in SERVICES else Check(check.name, _not_running) for check in checks]
        checks.insert(1, Check("stack", lambda: [Result("failed", "It is not running; run `taxi up --detach`.")]))
    return run_checks(checks)


def _resources(settings: Settings) -> dict[str, Any]:
    """Return the resources with the values of the variables that they name."""
    built = build_resources(settings)
    with ExitStack() as stack:
        return {
            name: stack.enter_context(built[name].process_config_and_initialize_cm())
            for name in ("source", "lake", "bigquery", "postgres")
        }


def _not_running() -> list[Result]:
    return [Result("unchecked", "Not checked, since the local stack is not running.")]


def _settings(settings: Settings) -> list[Result]:
    """Find out whom the settings reach."""
    lacking = missing(settings)
    if lacking:
        text = f"TAXI_ENV=cloud also needs {', '.join(lacking)}; set them as in .env.example."
        return [Result("failed", text)]
    storage = settings.storage_emulator_host
    bigquery = settings.bigquery_emulator_host
    if bool(storage) != bool(bigquery):
        one, other = ("Cloud Storage", "BigQuery") if storage else ("BigQuery", "Cloud Storage")
        return [Result("failed", f"{one} is an emulator and {other} is Google's; set both emulators or none.")]
    reached = f"the emulators at {storage} and {bigquery}" if storage else "Google Cloud"
    return ok(
        f"TAXI_ENV={settings.env} reaches {reached}: project {settings.gcp_project}, bucket {settings.gcs_bucket}."
    )
