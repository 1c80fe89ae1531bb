"""The definitions that Dagster loads."""

from taxi_assets import lean_imports
from taxi_assets.defs.build import build_definitions
from taxi_assets.runtime import fork_server
from taxi_assets.settings import Settings

assert lean_imports, "imported first, for what it does"
settings = Settings.from_environment()
if settings.run_start == "fork_server":
    fork_server.install()
defs = build_definitions(settings)
