"""The Celery queues of the steps, by the pool of the system that a step uses.

Assets carry their queue as a tag. Without the extra `workers` the tag has no effect.
"""

from collections.abc import Mapping

QUEUES: Mapping[str, str] = {
    "source": "source",
    "clean": "clean",
    "gcs": "load",
    "bigquery": "load",
    "postgres": "load",
}


def queue_tags(pool: str) -> dict[str, str]:
    """Return the tags of a step in that pool; a step without tags waits in dagster-celery's own queue, `dagster`."""
    return {"dagster-celery/queue": QUEUES[pool]}
