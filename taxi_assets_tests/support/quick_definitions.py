"""The project's definitions as a code location whose sensors tick as often as Dagster lets them."""

from taxi_assets.defs.build import build_definitions
from taxi_assets.defs.ingestion.polling import PollingLimits
from taxi_assets.runtime import fork_server
from taxi_assets.settings import Settings
from taxi_assets_tests.support.points import hang_where_told

settings = Settings.from_environment()
if settings.run_start == "fork_server":
    fork_server.install()
defs = build_definitions(settings, limits=PollingLimits(interval_seconds=2, pace_seconds=0.0))
hang_where_told()
