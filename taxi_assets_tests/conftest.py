"""Fixtures that tests share: the embedded services, started once, and a world of its own for each test in them."""

import os
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import hypothesis
import psycopg
import pyarrow.parquet as pq
import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage
from playwright.sync_api import Browser

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.manifest import Totals
from taxi_assets.contract.object_names import clean_object, rejected_object
from taxi_assets.defs.assets import build_assets, common
from taxi_assets.defs.build import build_resources
from taxi_assets.local.ports import free_port
from taxi_assets.local.stack import Stack
from taxi_assets.resources.bigquery import BigQueryWarehouse
from taxi_assets.resources.lake import LakeResource
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.resources.source import SourceResource
from taxi_assets.settings import PORT_DEFAULTS, PROJECT_ROOT, Settings
from taxi_assets_tests.support.browser_pages import chromium

# A green CI must mean the same tomorrow: there, property tests draw the same examples each time.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

TESTS = Path(__file__).parent
STARTS_MOST = ("deploy", "browser", "local")
# Folders of tests that start nothing, but fit models, draw pages or need Spark, which takes its time.
TAKE_LONG = ("models", "reports", "spark")
# Fixtures that files of a folder share: stacks of their own, and months that take long to load.
SHARED = ("deployment", "ui", "filled")
LONGEST = (
    "marts/filled",
    "marts/test_kills.py",
    "defs/test_it_runs_itself.py",
    "browser/test_reports.py",
    "local/test_stack.py",
    "cli/test_demo.py",
    "test_chaos.py",
    "defs/test_terminate.py",
    "browser/ui",
    "deploy/deployment",
    "models/test_real_months.py",
    "defs/assets/filled",
    "defs/assets/test_files_of_others.py",
    "cli/test_report.py",
    "spark/test_dataproc.py",
    "spark/test_kills.py",
    "defs/assets/test_kills.py",
    "runtime/test_fork_server.py",
)
TLC = PROJECT_ROOT.parent / "shared" / "tlc"


def pytest_configure() -> None:
    """Heed Ctrl-C in the background too: what tests start, and interrupt, would inherit a shell's ignoring of it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bytes are named by their number: gzip's hold the time, and two processes must name a test alike."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)  # pytest-xdist puts the groups into the names of tests after it
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs services, and order the tests for two processes, which take group after group.

    A group is a file, or what shares a fixture of its folder, which is made once then. The longest come first.
    """
    for item in items:
        if uses_services(item):
            item.add_marker(pytest.mark.services)
        elif item.path.parent.name in TAKE_LONG:
            item.add_marker(pytest.mark.long)
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: (rank(item), not uses_services(item)))


def group(item: pytest.Item) -> str:
    """Return the name of what a test shares with others: a fixture of its folder, or its file."""
    shared = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
    path = item.path.relative_to(TESTS)
    return str(path.parent / shared[0] if shared else path)


def rank(item: pytest.Item) -> int:
    """Return the place of a test's group among those that take longest."""
    name = group(item)
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def uses_services(item: pytest.Item) -> bool:
    """Return whether a test runs against embedded services, or starts processes that do."""
    is_marked = item.get_closest_marker("services") is not None
    return is_marked or "services" in getattr(item, "fixturenames", ()) or item.path.parent.name in STARTS_MOST


@pytest.fixture(scope="session")
def tlc() -> Path:
    """Return the folder of real TLC files, or a skip."""
    if not TLC.is_dir():
        pytest.skip("real TLC files are not at ../shared/tlc")
    return TLC


def local_settings(data_dir: Path) -> Settings:
    """Return settings of an embedded stack in that folder, on free ports."""
    ports = {name: str(free_port()) for name in PORT_DEFAULTS}
    return Settings.from_environment({"TAXI_DATA_DIR": str(data_dir), "TAXI_SAMPLE_ROWS": "3000", **ports})


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Run the embedded PostgreSQL and emulators."""
    settings = local_settings(tmp_path_factory.mktemp("services"))
    with Stack(settings, dagster=False, environ={"PATH": os.environ["PATH"]}).running():
        yield settings


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, one for all: Playwright takes no second one in a process."""
    with chromium() as found:
        yield found


@cache
def instance() -> dg.DagsterInstance:
    """Return an instance in memory, made once since that takes as long as a small asset."""
    return dg.DagsterInstance.ephemeral()


def changed(resource: Any, **changes: Any) -> Any:
    """Return the resource with other values; Dagster would not see those of a pydantic copy."""
    kept = {name: getattr(resource, name) for name in type(resource).model_fields}
    return type(resource)(**kept | changes)


@dataclass(frozen=True)
class World:
    """A bucket, a BigQuery dataset, a database and a data folder that nothing else uses."""

    settings: Settings
    resources: dict[str, Any]
    postgres_url: str

    @property
    def lake(self) -> LakeResource:
        return self.resources["lake"]

    @property
    def bigquery(self) -> BigQueryWarehouse:
        return self.resources["bigquery"]

    @property
    def postgres(self) -> PostgresWarehouse:
        return self.resources["postgres"]

    def with_source(self, templates: str, **arguments: Any) -> "World":
        """Return the same world with another source, which does not wait long between attempts."""
        source = SourceResource(templates=templates, backoff_seconds=0.01, **arguments)
        return replace(self, resources=self.resources | {"source": source})

    def run(
        self,
        dataset: str,
        month: date,
        *names: str,
        run_config: dict[str, Any] | None = None,
        home: dg.DagsterInstance | None = None,
        force: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Materialize a month's assets, all of them or those named, in this process; `home` keeps a record of it.

        With `force` the warehouses load the month though they have it from the same object.
        """
        assets = build_assets(DATASETS[dataset])
        sinks = [name for name in ("bigquery_table", "postgres_table") if force and (name in names or not names)]
        ops = {"ops": {f"{dataset}__{name}": {"config": {"force": True}} for name in sinks}} if sinks else {}
        return dg.materialize(
            assets,
            selection=[f"{dataset}/{name}" for name in names] or None,
            partition_key=month.isoformat(),
            resources=self.resources,
            # Dagster prints each event otherwise, which hides what a failing test has to say.
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}} | ops | (run_config or {}),
            instance=home or instance(),
            raise_on_error=False,
        )

    def totals(self, dataset: str, month: date) -> dict[str, Totals]:
        """Return the month in each sink, counted by that sink itself; the lake's by reading the object's rows."""
        item = DATASETS[dataset]
        kept = Totals()
        self.lake.local_path(clean_object(dataset, month)).unlink(missing_ok=True)
        for batch in pq.ParquetFile(self.lake.fetch(clean_object(dataset, month))).iter_batches():
            kept.add(batch, item.schema)
        return {
            "lake": kept,
            "bigquery": self.bigquery.month_totals(item, month),
            "postgres": self.postgres.month_totals(item, month),
        }

    def rejected(self, dataset: str, month: date) -> Any:
        """Return the month's rejected rows, as a pyarrow Table."""
        return pq.read_table(self.lake.fetch(rejected_object(dataset, month)))

    def leftovers(self) -> list[str]:
        """Whatever unfinished work left behind: files, pending objects, staging tables."""
        found = [str(path) for path in (Path(self.settings.data_dir) / "tmp").glob("*")]
        found += [str(path) for path in (Path(self.settings.data_dir) / "cache").rglob("*.part*")]
        found += [item.name for item in self.lake.list("pending/")]
        with self.bigquery.get_client() as client:
            found += [t.table_id for t in client.list_tables(self.settings.bigquery_dataset) if "staging" in t.table_id]
        with psycopg.connect(self.postgres_url) as connection:
            found += [
                name
                for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE '%staging%'")
            ]
        return found


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return the sentence that the run failed with."""
    assert not result.success
    [event] = result.get_step_failure_events()
    data = event.step_failure_data
    assert data.user_failure_data is not None, data.error
    return data.user_failure_data.description or ""


@pytest.fixture(autouse=True)
def no_instance_left_behind() -> Iterator[None]:
    """Nested uses of a Dagster instance leave it, after its end, as the place of definitions' state for later tests."""
    with set_defs_state_storage(None):
        yield


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry steps once, without a delay."""
    monkeypatch.setattr(common, "RETRIES", dg.RetryPolicy(max_retries=1))


def retries(result: dg.ExecuteInProcessResult) -> int:
    """Return how often a step was tried again."""
    return sum(event.is_step_up_for_retry for event in result.all_events)


@pytest.fixture
def dagster_home(services: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Return an instance as `dagster.yaml` defines it, in a database of its own, and set its environment."""
    name = f"dagster_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(services.local_postgres_url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    monkeypatch.setenv("DAGSTER_HOME", str(PROJECT_ROOT))
    monkeypatch.setenv("DAGSTER_LOCAL_DIR", str(tmp_path / "dagster"))
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", services.local_postgres_url(name, driver="postgresql+psycopg2"))
    with dg.DagsterInstance.get() as found:
        yield found


@pytest.fixture
def world(services: Settings, tmp_path: Path) -> World:
    """Return a world of its own within the shared services."""
    return make_world(services, tmp_path / "data")


def make_world(services: Settings, data_dir: Path) -> World:
    """Return a new world within the shared services."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    settings = services.model_copy(
        update={"data_dir": data_dir, "gcs_bucket": name.replace("_", "-"), "bigquery_dataset": name}
    )
    with psycopg.connect(services.local_postgres_url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    url = services.local_postgres_url(name)
    resources = build_resources(settings) | {"postgres": PostgresWarehouse(url=url)}
    resources["lake"].get_client().create_bucket(settings.gcs_bucket)
    return World(settings, resources, url)
