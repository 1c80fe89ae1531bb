"""Old name of `taxi_assets.runtime.launcher`, for instances whose dagster.yaml contains it. It goes in release 1.0."""

from taxi_assets.runtime.launcher import WatchfulRunLauncher

__all__ = ["WatchfulRunLauncher"]
