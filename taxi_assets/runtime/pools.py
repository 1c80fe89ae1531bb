"""Give each pool its limit when an instance is made: `python -m taxi_assets.runtime.pools`.

Dagster creates a pool at its first use. If two runs use it at the same moment, one of them fails (dagster#33552).
`taxi up`, the code server of docker-compose.yaml and `taxi migrate` therefore create all pools before the first run.
"""

import os

import psycopg

from taxi_assets.local.environment import psycopg_url
from taxi_assets.runtime.queues import QUEUES

_LOCK = "SELECT pg_advisory_lock(hashtextextended('taxi_assets pools', 0))"


def missing_pools(dagster_postgres_url: str) -> set[str]:
    """Return the pools without a limit, by SQL: importing Dagster would add two seconds to every start."""
    try:
        with psycopg.connect(psycopg_url(dagster_postgres_url), connect_timeout=10) as connection:
            present = {key for (key,) in connection.execute("SELECT concurrency_key FROM concurrency_limits")}
    except psycopg.errors.UndefinedTable:
        # Dagster has not created its tables yet.
        present = set()
    return QUEUES.keys() - present


def ensure_pools(dagster_postgres_url: str) -> set[str]:
    """Create the pools that are missing, with the default limit of dagster.yaml. Return their names."""
    if not missing_pools(dagster_postgres_url):
        return set()
    # Imported only when there is something to do, because the import takes two seconds.
    import dagster as dg

    with psycopg.connect(psycopg_url(dagster_postgres_url), autocommit=True) as lock:
        lock.execute(_LOCK)
        with dg.DagsterInstance.get() as instance:
            created = QUEUES.keys() - instance.event_log_storage.get_concurrency_keys()
            for pool in sorted(created):
                instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
    return created


if __name__ == "__main__":
    ensure_pools(os.environ["DAGSTER_POSTGRES_URL"])
