"""Old name of `taxi_assets.runtime.launcher`, kept for instances whose dagster.yaml names it; goes in release 1.0."""

from taxi_assets.runtime.launcher import WatchfulRunLauncher

__all__ = ["WatchfulRunLauncher"]
