"""Old names of `taxi_assets.runtime`, kept for deployments that name them; they go in release 1.0."""
