"""The definitions that Dagster loads."""

from taxi_assets.defs.build import build_definitions
from taxi_assets.settings import Settings

defs = build_definitions(Settings.from_environment())
