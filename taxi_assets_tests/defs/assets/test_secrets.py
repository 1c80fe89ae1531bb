"""A password in TAXI_SOURCE, a token in its query and a password in TAXI_POSTGRES_URL are seen nowhere."""

import logging
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_representation.external_data import RepositorySnap

from taxi_assets.defs.build import build_definitions
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.http_server import Fault, FileServer, serve
from taxi_assets_tests.support.versions import APRIL, version

PASSWORD, TOKEN, POSTGRES_PASSWORD = "pa55w0rd-of-source", "t0ken-in-query", "pa55w0rd-of-postgres"
SECRETS = (PASSWORD, TOKEN, POSTGRES_PASSWORD)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serve(tmp_path / "source") as server:
        server.put("green_2020-04.csv.gz", version(300).data)
        yield server


@pytest.fixture
def definitions(world: World, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    """Return the definitions as Dagster loads them in an environment that holds secrets."""
    environ = {
        "TAXI_SOURCE": server.url("/green_{month}.csv.gz", userinfo=f"me:{PASSWORD}") + f"?sig={TOKEN}",
        "TAXI_POSTGRES_URL": world.postgres_url.replace("postgres@", f"postgres:{POSTGRES_PASSWORD}@"),
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = Settings.from_environment(environ)
    same = {"source": found.source, "postgres_url": found.postgres_url}
    return build_definitions(world.settings.model_copy(update=same))


def seen(result: dg.ExecuteInProcessResult, instance: dg.DagsterInstance) -> str:
    """All that the run left to be read: its events and logs as stored, its config, and its tags."""
    logs = instance.all_logs(result.run_id)
    assert logs
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    return "\n".join([*map(dg.serialize_value, logs), *(entry.to_json() for entry in logs), dg.serialize_value(run)])


def materialize(definitions: dg.Definitions, *names: str) -> tuple[dg.ExecuteInProcessResult, str]:
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            partition_key=APRIL.isoformat(),
            asset_selection=[definitions.resolve_assets_def(["green", name]).key for name in names],
            instance=instance,
            raise_on_error=False,
        )
        return result, seen(result, instance)


def assert_no_secret(*texts: Any) -> None:
    for text in texts:
        assert [secret for secret in SECRETS if secret in str(text)] == []


def test_a_run_that_ends_well(
    world: World,
    definitions: dg.Definitions,
    server: FileServer,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    names = ("raw_file", "clean_parquet", "gcs_object", "bigquery_table", "postgres_table")
    result, stored = materialize(definitions, *names)
    assert result.success
    assert [request.query for request in server.seen] == [f"sig={TOKEN}"]
    assert [b64decode(request.headers["Authorization"][6:]) for request in server.seen] == [f"me:{PASSWORD}".encode()]
    objects = [dict(item.metadata) for item in world.lake.list("")]
    with world.postgres.connect() as connection:
        comments = connection.execute("SELECT description FROM pg_description WHERE classoid = 'pg_class'::regclass")
        written = comments.fetchall()
    assert "127.0.0.1" in str(objects)
    assert "127.0.0.1" in str(written)
    # urllib3 names the whole path at its level DEBUG, which only who debugs it switches on.
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith("urllib3")]
    assert logged
    assert_no_secret(stored, objects, written, logged, *capfd.readouterr())


@pytest.mark.parametrize(
    "fault",
    [Fault(status=404), Fault(status=403), Fault(status=503), Fault(cut_after=100), Fault(body=b"<html>no</html>")],
)
def test_a_source_that_fails(
    definitions: dg.Definitions,
    server: FileServer,
    fault: Fault,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("taxi_assets.download.retries.backoff_delay", lambda *_: 0.0)
    server.always("/green_2020-04.csv.gz", fault)
    result, stored = materialize(definitions, "raw_file")
    assert not result.success
    assert "/green_2020-04.csv.gz" in stored
    assert_no_secret(stored, *capfd.readouterr())


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://taxi:{POSTGRES_PASSWORD}@127.0.0.1:1/taxi",
        f"postgresql://taxi:{POSTGRES_PASSWORD}@nowhere.invalid/taxi",
        f"postgresql://taxi:x@{POSTGRES_PASSWORD}@127.0.0.1/taxi",
        f"postgresql://taxi:x/{POSTGRES_PASSWORD}@127.0.0.1/taxi",
        f"postgresql://taxi:{POSTGRES_PASSWORD}@127.0.0.1:port/taxi",
        f"postgresql://taxi:{POSTGRES_PASSWORD}@127.0.0.1/taxi?no_such_option=1",
        f"host=127.0.0.1 port=1 user=taxi password={POSTGRES_PASSWORD}",
        f"taxi:{POSTGRES_PASSWORD}@127.0.0.1/taxi",
    ],
)
def test_a_database_that_fails(
    definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch, url: str, capfd: pytest.CaptureFixture[str]
):
    assert materialize(definitions, "raw_file", "clean_parquet", "gcs_object")[0].success
    monkeypatch.setenv("TAXI_POSTGRES_URL", url)
    result, stored = materialize(definitions, "postgres_table")
    [event] = result.get_step_failure_events()
    assert event.step_failure_data.user_failure_data is not None, event.step_failure_data.error
    assert_no_secret(stored, *capfd.readouterr())


def test_what_the_ui_shows_of_the_resources(definitions: dg.Definitions):
    snapshot = dg.serialize_value(RepositorySnap.from_def(definitions.get_repository_def()))
    assert "TAXI_SOURCE" in snapshot
    assert "TAXI_POSTGRES_URL" in snapshot
    assert_no_secret(snapshot, repr(definitions), repr(definitions.resources))
