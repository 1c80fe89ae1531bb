"""The project's definitions as a code location whose sensors tick as often as Dagster lets them."""

from taxi_assets.defs.build import build_definitions
from taxi_assets.defs.ingestion.polling import PollingLimits
from taxi_assets.settings import Settings

defs = build_definitions(Settings.from_environment(), limits=PollingLimits(interval_seconds=2, pace_seconds=0.0))
