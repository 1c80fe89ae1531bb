"""The definitions that Dagster loads."""

from taxi_assets.defs.build import build_definitions
from taxi_assets.runtime import fork_server
from taxi_assets.settings import Settings

settings = Settings.from_environment()
if settings.run_start == "fork_server":
    fork_server.install()
defs = build_definitions(settings)
