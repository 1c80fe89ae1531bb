"""A URL in, a checked file out: requests, retries, resuming, size limits. Knows no datasets and no Dagster."""
