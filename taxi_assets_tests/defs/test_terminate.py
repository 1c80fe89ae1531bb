"""Runs of the daemon that end before their time: by *Terminate*, without a trace; by SIGKILL, to be started again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg
import pytest

from taxi_assets.resources.warehouse import WAREHOUSES
from taxi_assets.sample.files import write_sample
from taxi_assets.settings import Settings
from taxi_assets_tests.support.http_server import Fault, FileServer, serve
from taxi_assets_tests.support.orchestra import LOCATION, Orchestra
from taxi_assets_tests.support.points import HANG_FILE

MONTH, JOB = date(2020, 4, 1), "green_month_job"
FILE = "green_2020-04.csv.gz"
ENDED = dg.DagsterRunStatus.CANCELED
# Where a run hangs: Python in the main thread.
POINTS = {
    "clean_parquet": "taxi_assets.cleaning.clean_file:_count",
    "gcs_object": "taxi_assets.resources.lake:LakeResource.promote",
}
# In Dagster's database: the next launch fails, by the first that the launcher writes.
REFUSE_ONE_LAUNCH = """
    CREATE SEQUENCE launches;
    CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('launches') = 1 THEN RAISE unique_violation; END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON run_tags FOR EACH ROW
        WHEN (NEW.key = '.dagster/grpc_info') EXECUTE FUNCTION refuse_one();
"""


class Town:
    """A source with one month, and Dagster."""

    def __init__(self, services: Settings, server: FileServer, folder: Path) -> None:
        self.services, self.server, self.folder, self.hang = services, server, folder, folder / "hang"
        variables = {
            "TAXI_SOURCE": server.url("/{dataset}_{month}.csv.gz"),
            HANG_FILE: str(self.hang),
        }
        self.dagster = Orchestra(services, folder / "dagster", variables)

    def publish(self, rows: int) -> None:
        path = write_sample("green", MONTH, self.folder / str(rows), rows=rows, file_format="csv.gz")
        self.server.put(FILE, path.read_bytes())

    def launch(self) -> dg.DagsterRun:
        """Request the month; its run."""
        before = len(self.dagster.runs(JOB))
        self.dagster.backfill(JOB, [MONTH.isoformat()])
        self.dagster.wait_for(lambda: len(self.dagster.runs(JOB)) > before, "the run")
        return self.dagster.runs(JOB)[-1]

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        found = self.dagster.instance.get_run_by_id(run.run_id)
        assert found
        return found.status

    def events(self, run: dg.DagsterRun, kind: dg.DagsterEventType) -> set[str]:
        """Return the names of the steps with such an event."""
        entries = self.dagster.instance.all_logs(run.run_id, kind)
        return {(entry.step_key or "").removeprefix("green__") for entry in entries}

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.dagster.environ["TAXI_POSTGRES_URL"], autocommit=True)

    def rows(self) -> dict[str, int]:
        """Return how many rows PostgreSQL holds, and the generation of each published object of the lake."""
        with self.connect() as connection:
            found = connection.execute("SELECT count(*) FROM taxi.green_trips").fetchone()
        blobs = self.dagster.lake.get_client().list_blobs(self.dagster.lake.bucket)
        lake = {
            str(blob.name): int(blob.generation or 0)
            for blob in blobs
            if not blob.name.startswith(("raw/", "pending/"))
        }
        return {"postgres": found[0] if found else 0, **lake}

    @contextmanager
    def bigquery_stopped(self) -> Iterator[None]:
        """Let BigQuery accept connections and never answer."""
        port = int((self.services.bigquery_emulator_host or "").rpartition(":")[2])
        [pid] = {
            c.pid for c in psutil.net_connections("tcp") if c.laddr.port == port and c.status == "LISTEN" and c.pid
        }
        psutil.Process(pid).send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            psutil.Process(pid).send_signal(signal.SIGCONT)

    @contextmanager
    def postgres_locked(self) -> Iterator[psycopg.Connection[Any]]:
        """Hold the lock that a load of the month takes first."""
        with self.connect() as connection:
            connection.execute("SELECT pg_advisory_lock(hashtextextended('taxi.green_trips_2020_04', 0))")
            yield connection

    def terminate(self, run: dg.DagsterRun) -> None:
        """Terminate the run as the UI does; return when its process has ended."""
        query = """mutation ($run: String!) { terminateRun(runId: $run) {
            __typename ... on PythonError { message } ... on TerminateRunFailure { message } } }"""
        pid = self.dagster.pid_of(run)
        answer = self.dagster.graphql(query, run=run.run_id)["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer
        self.dagster.wait_for(
            lambda: self.status(run) not in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING), "its end"
        )
        self.dagster.wait_for(lambda: not psutil.pid_exists(pid or 0), "the end of its process")

    def places(self) -> int:
        storage = self.dagster.instance.event_log_storage
        return sum(
            info.active_slot_count + info.pending_step_count
            for info in map(storage.get_concurrency_info, sorted(storage.get_concurrency_keys()))
        )


@pytest.fixture(scope="module")
def town(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with serve(folder / "source") as server:
        town = Town(services, server, folder)
        try:
            town.publish(300)
            for name in ("webserver", "daemon"):
                town.dagster.start(name)
            town.dagster.wait_for(town.dagster.is_up, "the start of the webserver")
            first = town.launch()
            town.dagster.wait_for(lambda: town.status(first) is dg.DagsterRunStatus.SUCCESS, "the first version")
            yield town
        finally:
            town.dagster.stop()


def assert_ended(town: Town, run: dg.DagsterRun, step: str, before: dict[str, int]) -> None:
    """Terminate the run in that step, and check that it left all as it was."""
    town.terminate(run)
    assert town.status(run) is ENDED
    assert town.rows() == before
    town.dagster.wait_for(lambda: town.places() == 0, "free pools")
    assert not town.events(run, dg.DagsterEventType.STEP_UP_FOR_RETRY)
    assert step not in town.events(run, dg.DagsterEventType.ASSET_MATERIALIZATION)


def test_a_run_is_canceled_in_each_step(town: Town):
    before = town.rows()
    town.publish(310)
    town.server.plan(f"/{FILE}", Fault(hang_after=1000))
    run = town.launch()
    town.dagster.wait_for(town.server.hanging.is_set, "the download")
    assert_ended(town, run, "raw_file", before)
    town.server.release.set()

    for step, function in POINTS.items():
        town.hang.write_text(function)
        run = town.launch()
        town.dagster.wait_for(lambda: "reached" in town.hang.read_text(), step)
        assert_ended(town, run, step, before)
    town.hang.unlink()


def test_a_run_is_canceled_in_loads_that_wait_for_their_servers(town: Town):
    before = town.rows()
    town.publish(320)
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with town.postgres_locked() as connection, town.bigquery_stopped():
        run = town.launch()
        loads = {f"{name}_table" for name in WAREHOUSES}
        town.dagster.wait_for(lambda: loads <= town.events(run, dg.DagsterEventType.STEP_START), "both loads")
        town.dagster.wait_for(lambda: connection.execute(waiting).fetchone() == (1,), "the load into PostgreSQL")
        assert_ended(town, run, "postgres_table", town.rows())
    assert town.rows()["postgres"] == before["postgres"]
    assert not town.events(run, dg.DagsterEventType.ASSET_MATERIALIZATION) & loads


def test_a_killed_command_counts_as_failed_and_frees_its_places(town: Town):
    before = town.rows()
    town.publish(325)
    town.hang.write_text(POINTS["clean_parquet"])
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", LOCATION]
    command += ["--select", "group:green", "--partition", MONTH.isoformat()]
    with subprocess.Popen(command, env=from_a_shell(town), stdout=subprocess.DEVNULL) as process:
        town.dagster.wait_for(lambda: "reached" in town.hang.read_text(), "the cleaning")
        [run] = town.dagster.instance.get_runs(limit=1)
        assert town.places() > 0
        process.kill()
    town.hang.unlink()
    town.dagster.wait_for(lambda: town.status(run) is dg.DagsterRunStatus.FAILURE, "the end of the run")
    town.dagster.wait_for(lambda: town.places() == 0, "free pools")
    assert town.rows() == before


def from_a_shell(town: Town) -> dict[str, str]:
    """Return the environment without the module that the settings name: the daemon has loaded another."""
    return {name: value for name, value in town.dagster.environ.items() if not name.startswith("DAGSTER_CLI_")}


def backfill_from_a_shell(town: Town, *options: str) -> None:
    command = ["-m", "dagster", "job", "backfill", "-w", str(town.dagster.folder / "workspace.yaml"), "--job", JOB]
    command += ["--partitions", MONTH.isoformat(), "--noprompt", *options]
    done = subprocess.run(
        [sys.executable, *command], env=from_a_shell(town), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_runs_of_a_backfill_from_a_shell_that_are_lost_are_requested_again(town: Town):
    """One is dropped while it is dequeued, as by dagster#33552; the one in its place is killed."""
    town.publish(330)
    town.hang.write_text(POINTS["clean_parquet"])
    known = {run.run_id for run in town.dagster.runs(JOB)}
    with psycopg.connect(town.dagster.environ["DAGSTER_POSTGRES_URL"].replace("+psycopg2", "")) as connection:
        # A sequence counts on when the transaction that is refused is rolled back.
        connection.execute(REFUSE_ONE_LAUNCH)
    backfill_from_a_shell(town, "--tags", '{"dagster/priority": "7", "who": "me"}')
    town.dagster.wait_for(lambda: "reached" in town.hang.read_text(), "the cleaning")
    dropped, killed = [run for run in town.dagster.runs(JOB) if run.run_id not in known]
    assert town.status(dropped) is dg.DagsterRunStatus.FAILURE
    town.hang.unlink()
    os.kill(town.dagster.pid_of(killed) or 0, signal.SIGKILL)

    def others() -> list[dg.DagsterRun]:
        return [run for run in town.dagster.runs(JOB) if run.run_id not in {*known, dropped.run_id, killed.run_id}]

    town.dagster.wait_for(lambda: [run.is_success for run in others()] == [True], "the run in its place")
    [last] = others()
    assert town.status(killed) is dg.DagsterRunStatus.FAILURE
    # Dagster itself has started the last one, which the sensor does not do twice.
    assert last.parent_run_id == killed.run_id
    for run in (killed, last):
        wanted = {"dagster/partition": MONTH.isoformat(), "dagster/priority": "7", "who": "me"}
        assert wanted.items() <= run.tags.items()
        assert "dagster/backfill" not in run.tags
        # Two retries in all.
        assert run.tags["dagster/max_retries"] == "1"
