"""Pools are created once, before runs could create them together."""

import os
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
import psycopg

from taxi_assets.local.environment import psycopg_url
from taxi_assets.runtime.pools import ensure_pools, missing_pools
from taxi_assets.runtime.queues import QUEUES


def test_pools_are_created_once_however_many_start_at_once(dagster_home: dg.DagsterInstance):
    url = os.environ["DAGSTER_POSTGRES_URL"]
    for _ in range(20):
        with psycopg.connect(psycopg_url(url)) as connection:
            connection.execute("TRUNCATE concurrency_limits, concurrency_slots")
        assert missing_pools(url) == set(QUEUES)
        with ThreadPoolExecutor(4) as threads:
            created = list(threads.map(lambda _: ensure_pools(url), range(4)))
        assert sorted(name for names in created for name in names) == sorted(QUEUES)
        assert dagster_home.event_log_storage.get_concurrency_keys() == set(QUEUES)
    assert ensure_pools(url) == set()


def test_a_limit_that_somebody_set_stays(dagster_home: dg.DagsterInstance):
    url = os.environ["DAGSTER_POSTGRES_URL"]
    dagster_home.event_log_storage.set_concurrency_slots("postgres", 7)
    assert ensure_pools(url) == QUEUES.keys() - {"postgres"}
    assert dagster_home.event_log_storage.get_concurrency_info("postgres").slot_count == 7
