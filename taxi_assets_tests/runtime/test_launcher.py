"""The launcher of dagster.yaml: that pools are entered once, before runs could meet them together."""

from concurrent.futures import ThreadPoolExecutor
from unittest.mock import patch

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher

from taxi_assets.runtime.launcher import WatchfulRunLauncher
from taxi_assets.runtime.queues import QUEUES


def test_two_first_launches_at_once_enter_each_pool_once(dagster_home: dg.DagsterInstance):
    launcher = dagster_home.run_launcher
    assert isinstance(launcher, WatchfulRunLauncher)
    assert not dagster_home.event_log_storage.get_concurrency_keys()
    # Only the start of the process is left out: there is no code server to start it.
    with patch.object(DefaultRunLauncher, "launch_run") as started, ThreadPoolExecutor() as threads:
        list(threads.map(launcher.launch_run, [None, None]))  # type: ignore[list-item]
    assert started.call_count == 2
    assert dagster_home.event_log_storage.get_concurrency_keys() == set(QUEUES)
