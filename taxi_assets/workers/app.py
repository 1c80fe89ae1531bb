"""Old name of `taxi_assets.runtime.celery_app`, for workers that are started by it. It goes in release 1.0."""

from taxi_assets.runtime.celery_app import app

__all__ = ["app"]
