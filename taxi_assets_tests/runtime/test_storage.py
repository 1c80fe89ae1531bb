"""Dagster's storage keeps its connections and outlives their loss; its queue outlives that of a code server."""

from datetime import date
from typing import Any

import dagster as dg
import psycopg
from sqlalchemy import event

from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World


def engine_of(instance: dg.DagsterInstance) -> Any:
    """Return the engine that the parts of the storage share."""
    parts = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    [engine] = {part._engine for part in parts}  # type: ignore[union-attr]
    return engine


def test_a_run_uses_few_connections(world: World, dagster_home: dg.DagsterInstance):
    connected: list[object] = []
    event.listen(engine_of(dagster_home), "connect", lambda connection, _: connected.append(connection))
    assert world.run("green", date(2020, 4, 1), home=dagster_home).success
    assert len(dagster_home.all_logs(dagster_home.get_runs()[0].run_id)) > 50
    # dagster-postgres alone opens one for each statement.
    assert 0 < len(connected) <= 4


def test_another_process_gets_the_same_storage(dagster_home: dg.DagsterInstance):
    with dg.DagsterInstance.from_ref(dagster_home.get_ref()) as again:
        assert engine_of(again).url == engine_of(dagster_home).url
        assert again.get_runs() == []


def test_connections_that_the_server_closed_are_replaced(services: Settings, dagster_home: dg.DagsterInstance):
    assert dagster_home.get_runs() == []
    database = engine_of(dagster_home).url.database
    with psycopg.connect(services.local_postgres_url("postgres")) as connection:
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        ended = connection.execute(query, [database]).fetchall()
    assert ended, "no connection was kept"
    assert dagster_home.get_runs() == []


def test_queued_runs_wait_for_a_code_server_that_restarts(dagster_home: dg.DagsterInstance):
    queue = dagster_home.get_concurrency_config().run_queue_config
    assert queue is not None
    # By Dagster's default each run that is launched meanwhile fails, and so does its retry.
    assert queue.max_user_code_failure_retries * queue.user_code_failure_retry_delay >= 300
    assert queue.user_code_failure_retry_delay <= 10
