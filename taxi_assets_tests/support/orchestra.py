"""Dagster's daemon and webserver on this machine, as `taxi up` starts them, with quick intervals; for tests that kill.

They use the shared embedded services, with a bucket, a BigQuery dataset and two databases of their own.
"""

import functools
import http.client
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
import pytest

from taxi_assets.defs.build import build_resources
from taxi_assets.local import processes
from taxi_assets.local.environment import environment
from taxi_assets.local.ports import LOOPBACK, free_port
from taxi_assets.resources.lake import LakeResource
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.support.graphql import graphql
from taxi_assets_tests.support.waiting import wait_for

LOCATION = "taxi_assets_tests.support.quick_definitions"
# What makes the difference between a test and an evening.
QUICK = {
    "start_timeout_seconds: 300": "start_timeout_seconds: 60",
    "poll_interval_seconds: 30": "poll_interval_seconds: 3",
    "free_slots_after_run_end_seconds: 60": "free_slots_after_run_end_seconds: 1",
}
WORKSPACE = f"load_from:\n  - python_module: {{module_name: {LOCATION}, location_name: {LOCATION}}}\n"


class Orchestra:
    """The daemon and the webserver; `variables` are settings of the code."""

    def __init__(self, services: Settings, folder: Path, variables: Mapping[str, str]) -> None:
        self.folder, self.port = folder, free_port()
        name = f"test_{uuid.uuid4().hex[:12]}"
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        settings = services.model_copy(
            update={
                "data_dir": folder / "data",
                "gcs_bucket": name.replace("_", "-"),
                "bigquery_dataset": name,
                "ui_port": self.port,
            }
        )
        with psycopg.connect(services.local_postgres_url("postgres"), autocommit=True) as connection:
            for database in (name, f"{name}_dagster"):
                connection.execute(f"CREATE DATABASE {database}")  # type: ignore[arg-type]
        (folder / "home").mkdir(parents=True)
        text = (PROJECT_ROOT / "dagster.yaml").read_text()
        for slow, quick in QUICK.items():
            assert slow in text
            text = text.replace(slow, quick)
        (folder / "home" / "dagster.yaml").write_text(text)
        (folder / "workspace.yaml").write_text(WORKSPACE)
        own = {
            "DAGSTER_POSTGRES_URL": services.local_postgres_url(f"{name}_dagster", driver="postgresql+psycopg2"),
            "TAXI_POSTGRES_URL": services.local_postgres_url(name),
            "STORAGE_EMULATOR_HOST": services.storage_emulator_host or "",
            "BIGQUERY_EMULATOR_HOST": services.bigquery_emulator_host or "",
            "PATH": os.environ["PATH"],
            **variables,
        }
        self.environ = own | environment(settings, own)
        self.environ |= {"DAGSTER_HOME": str(folder / "home"), "PYTHONPATH": str(PROJECT_ROOT)}
        self.lake: LakeResource = build_resources(settings)["lake"]
        self.lake.get_client().create_bucket(self.lake.bucket)

    @functools.cached_property
    def instance(self) -> dg.DagsterInstance:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environ.items():
                if name.startswith("DAGSTER_"):
                    patch.setenv(name, value)
            return dg.DagsterInstance.from_config(str(self.folder / "home"))

    def start(self, name: str) -> None:
        command = {
            "daemon": ["-m", "dagster._daemon", "run"],
            "webserver": ["-m", "dagster_webserver", "-h", LOOPBACK, "-p", str(self.port)],
        }[name]
        command = [sys.executable, *command, "-w", str(self.folder / "workspace.yaml")]
        self.children[name] = processes.spawn(
            command, self.environ, self.folder / "work", self.folder / f"{name}.log", signal.SIGTERM
        )

    def kill(self, name: str) -> None:
        """End the process itself by SIGKILL; what it started lives on, as after the kernel's own."""
        os.kill(self.children[name].pid, signal.SIGKILL)
        self.children[name].wait(5)

    def is_up(self) -> bool:
        """Return whether the webserver answers and has loaded the code."""
        with suppress(OSError, http.client.HTTPException, AssertionError):
            query = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus } } } }"
            return self.graphql(query)["workspaceOrError"]["locationEntries"][0]["loadStatus"] == "LOADED"
        return False

    def graphql(self, query: str, **variables: Any) -> Any:
        return graphql(self.port, query, variables)

    def turn_on(self, sensor: str) -> None:
        """As by the switch in the UI."""
        answer = self.graphql(
            """mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) { __typename } }""",
            selector={
                "repositoryLocationName": LOCATION,
                "repositoryName": "__repository__",
                "sensorName": sensor,
            },
        )
        assert answer["startSensor"]["__typename"] == "Sensor", answer

    def backfill(self, job: str, months: list[str]) -> str:
        """Launch a backfill as the UI does; its id."""
        answer = self.graphql(
            """mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
                __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            params={
                "selector": {
                    "partitionSetName": f"{job}_partition_set",
                    "repositorySelector": {
                        "repositoryLocationName": LOCATION,
                        "repositoryName": "__repository__",
                    },
                },
                "partitionNames": months,
            },
        )["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def runs(self, job: str) -> list[dg.DagsterRun]:
        """Return the job's runs, the oldest first."""
        return list(reversed(self.instance.get_runs(dg.RunsFilter(job_name=job))))

    def why(self, run_id: str) -> list[str]:
        """Return what Dagster recorded of a run's way and end, to be shown by a test that fails."""
        return [entry.user_message or entry.message for entry in self.instance.all_logs(run_id)][-6:]

    def pid_of(self, run: dg.DagsterRun) -> int | None:
        """Return the process of a run, by what it said when it began."""
        for entry in self.instance.all_logs(run.run_id):
            if entry.dagster_event and entry.dagster_event.is_engine_event:
                pid = entry.dagster_event.engine_event_data.metadata.get("pid")
                if pid is not None:
                    return int(str(pid.value))
        return None

    def tail(self) -> str:
        return "\n".join(processes.tail(self.folder / f"{name}.log", 40) for name in self.children)

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        wait_for(condition, what, pause=1, report=self.tail)

    def stop(self) -> None:
        """End the services and all that they started, known by their data folder."""
        for child in self.children.values():
            child.terminate()
        for child in self.children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(10)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("TAXI_DATA_DIR") == self.environ["TAXI_DATA_DIR"]:
                    process.kill()
        if "instance" in self.__dict__:
            self.instance.dispose()
