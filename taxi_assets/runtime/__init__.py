"""How Dagster runs this project: launcher, code server, Celery executor and workers, load status."""
