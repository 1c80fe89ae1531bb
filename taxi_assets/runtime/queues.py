"""The queues that steps wait in for a worker, by the system that a step keeps busy.

Without the extra `workers` this is read, too: the assets carry their queue as a tag, which only Celery heeds.
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
    """The tags of a step in that pool; a step without any waits in dagster-celery's own queue, `dagster`."""
    return {"dagster-celery/queue": QUEUES[pool]}
