"""Old name of `taxi_assets.runtime.celery_app`, kept for workers that were started by it; goes in release 1.0."""

from taxi_assets.runtime.celery_app import app

__all__ = ["app"]
