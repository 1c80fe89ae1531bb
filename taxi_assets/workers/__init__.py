"""Old names of `taxi_assets.runtime`, for deployments that contain them. They go in release 1.0."""
