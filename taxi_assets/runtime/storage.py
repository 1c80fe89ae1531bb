"""Dagster's storage in PostgreSQL with its connections kept: `storage.custom` of dagster.yaml.

dagster-postgres connects anew for each statement, some 250 times in the run of a month, which costs a small month a
tenth of its time. Only its webserver keeps connections. A forked process must not use a connection of its parent: no
storage is opened before a fork (see `fork_server.py`).
"""

from typing import Any

from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config


class PooledPostgresStorage(DagsterPostgresStorage):
    """dagster-postgres's storage, where a process keeps connections and uses them again."""

    def __init__(self, postgres_url: str, token_provider: Any = None, **named: Any) -> None:
        super().__init__(postgres_url, token_provider=token_provider, **named)
        engine = create_pg_engine(
            postgres_url,
            token_provider,
            isolation_level="AUTOCOMMIT",
            # Some reads are made inside another one.
            pool_size=2,
            # Threads that need more at the same moment get them, as without a pool.
            max_overflow=-1,
            # A server that was restarted has closed them.
            pool_pre_ping=True,
        )
        # There is no public way: `optimize_for_webserver` sets a pool, but without the ping.
        parts: tuple[Any, ...] = (self.run_storage, self.event_log_storage, self.schedule_storage)
        for storage in parts:
            storage._engine = engine

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PooledPostgresStorage":
        """Create the storage from dagster.yaml; dagster-postgres's own method would create its own class."""
        return cls(
            pg_url_from_config(config_value),
            get_token_provider_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )
