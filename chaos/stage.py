"""The stack under test: `taxi up` in a data folder of its own, a source on loopback, proxies before the emulators."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from chaos.months import Month
from chaos.proxy import Proxy
from taxi_assets.defs.build import lake_and_warehouses
from taxi_assets.local import state
from taxi_assets.local.environment import environment
from taxi_assets.local.ports import LOOPBACK, free_port
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.settings import PORT_DEFAULTS, PROJECT_ROOT, Settings
from taxi_assets_tests.support.http_server import FileServer, serve

# Killed runs keep their places in the pools for a while; the campaign does not wait for them between its rounds.
POOL_LIMIT = "100"


@dataclass
class Stage:
    """Everything that a round acts on; `environ` is that of the runs, with the proxies in place of the emulators."""

    folder: Path
    settings: Settings
    server: FileServer
    gcs_proxy: Proxy
    bigquery_proxy: Proxy
    environ: dict[str, str]
    lake: LakeResource
    bigquery: BigQueryWarehouse
    postgres: PostgresWarehouse
    dagster: bool
    logs: Path = field(init=False)

    def __post_init__(self) -> None:
        """Make the folder of the runs' logs."""
        self.logs = self.folder / "runs"
        self.logs.mkdir()

    @property
    def postgres_url(self) -> str:
        """Return the URL of the warehouse's database."""
        return self.settings.local_postgres_url("taxi")

    def publish(self, month: Month, version: int) -> None:
        """Let the source have this version of the month."""
        self.server.put(month.file_name, month.versions[version].data)

    def up(self) -> None:
        """Start the stack, as `taxi up` does; nothing happens where it runs already."""
        command = [sys.executable, "-m", "taxi_assets.cli.main", "up", "--detach"]
        self._taxi([*command, *([] if self.dagster else ["--no-dagster"])])

    def up_again(self) -> None:
        """Start the stack after one of its processes was killed; the supervisor ends the others first."""
        self.down()
        self.up()

    def calm(self, month: Month) -> None:
        """End all disturbances."""
        self.gcs_proxy.calm()
        self.bigquery_proxy.calm()
        self.server.forget(f"/{month.file_name}")

    def down(self) -> None:
        """Stop the stack."""
        self._taxi([sys.executable, "-m", "taxi_assets.cli.main", "down"])

    def pids(self) -> dict[str, int]:
        """Return the processes of the services, and of their `supervisor`."""
        current = state.read(self.settings.data_dir)
        assert current is not None, "the stack has no state file"
        found = {name: entry.pid for name, entry in current.services.items() if entry.pid is not None}
        return {**found, "supervisor": current.supervisor_pid}

    def _taxi(self, command: list[str]) -> None:
        own = self.environ | {"STORAGE_EMULATOR_HOST": "", "BIGQUERY_EMULATOR_HOST": ""}
        own = {name: value for name, value in own.items() if value}
        done = subprocess.run(
            command, env=own, cwd=PROJECT_ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command[2:])} ended with {done.returncode}: {done.stdout}{done.stderr}")

    def instance(self) -> dg.DagsterInstance:
        """Return Dagster's instance."""
        return dg.DagsterInstance.from_config(self.environ["DAGSTER_HOME"])


@contextmanager
def stage(folder: Path, *, dagster: bool) -> Iterator[Stage]:
    """Start a stack in the folder, and set this process's environment, which runs inherit; stop it afterwards."""
    folder.chmod(0o755)  # PostgreSQL may run as another user
    with serve(folder / "source") as server, ExitStack() as exits:
        own = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "TAXI_DATA_DIR": str(folder / "data"),
            "TAXI_SOURCE": server.url("/{dataset}_{month}.csv.gz"),
        } | {name: str(free_port()) for name in PORT_DEFAULTS}
        settings = Settings.from_environment(own)
        gcs, bigquery = Proxy(settings.gcs_port), Proxy(settings.bigquery_port)
        environ = {**own, **environment(settings, own)}
        os.environ.clear()
        os.environ.update(environ)
        direct = exits.enter_context(lake_and_warehouses(Settings.from_environment(environ)))
        environ |= {
            "STORAGE_EMULATOR_HOST": f"http://{LOOPBACK}:{gcs.port}",
            "BIGQUERY_EMULATOR_HOST": f"http://{LOOPBACK}:{bigquery.port}",
        }
        os.environ.update(environ)
        made = Stage(folder, settings, server, gcs, bigquery, environ, **direct, dagster=dagster)
        made.up()
        try:
            with made.instance() as instance:
                for pool in ("source", "clean", "gcs", "bigquery", "postgres"):
                    instance.event_log_storage.set_concurrency_slots(pool, int(POOL_LIMIT))
            yield made
        finally:
            gcs.close()
            bigquery.close()
            made.down()
