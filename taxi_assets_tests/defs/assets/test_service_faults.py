"""A bucket, a BigQuery or a PostgreSQL that is not there, is down, or refuses: one sentence, and nothing is lost."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY
from google.cloud.bigquery.retry import DEFAULT_RETRY as BIGQUERY_RETRY
from google.cloud.storage.retry import DEFAULT_RETRY as STORAGE_RETRY

from taxi_assets.defs.build import build_resources
from taxi_assets.local.ports import free_port
from taxi_assets.resources import bigquery as bigquery_module
from taxi_assets.resources import google_errors as google_module
from taxi_assets.resources import lake as lake_module
from taxi_assets.resources import postgres as postgres_module
from taxi_assets.resources.postgres import PostgresWarehouse
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, make_world
from taxi_assets_tests.support.versions import APRIL, fails, held

NAMES = ("raw_file", "clean_parquet", "gcs_object", "bigquery_table", "postgres_table")


@pytest.fixture(scope="module")
def published(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world with a published month, which no test here may change."""
    world = make_world(services, tmp_path_factory.mktemp("published") / "data")
    assert world.run("green", APRIL).success
    return world


@contextmanager
def impatient() -> Iterator[pytest.MonkeyPatch]:
    """Google's clients give up at once; only while something is broken, for a sound service may need longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lake_module, "RETRY", STORAGE_RETRY.with_timeout(0.1))
        patch.setattr(bigquery_module, "CALL", {"retry": BIGQUERY_RETRY.with_timeout(0.1), "timeout": 0.3})
        patch.setattr(bigquery_module, "JOB_RETRY", DEFAULT_JOB_RETRY.with_timeout(0.1))
        yield patch


def elsewhere(world: World, **settings: Any) -> World:
    """Return the world with other settings for its services."""
    other = build_resources(world.settings.model_copy(update=settings))
    return replace(world, resources=world.resources | {name: other[name] for name in ("lake", "bigquery")})


def loses_nothing(world: World, broken: World, words: list[str], retried: bool, *names: str) -> None:
    """Each asset fails in the broken world, the published month stays, and the next run in the sound one ends well."""
    before = held(world)
    with impatient() if retried else nullcontext():
        for name in names:
            fails(broken, words, retried, name)
    assert held(world) == before
    assert world.run("green", APRIL, force=True).success
    assert held(world) == before
    assert not world.leftovers()


def test_a_bucket_that_is_not_there(published: World):
    loses_nothing(
        published,
        elsewhere(published, gcs_bucket="no-such-bucket"),
        ["gs://no-such-bucket does not exist", "create it, or set TAXI_GCS_BUCKET"],
        False,
        *NAMES,
    )


def test_a_storage_that_is_down(published: World):
    host = f"http://127.0.0.1:{free_port()}"
    loses_nothing(
        published,
        elsewhere(published, storage_emulator_host=host),
        ["the bucket", "does not answer", host, "is `taxi up` running?"],
        True,
        *NAMES,
    )


def test_a_bigquery_that_is_down(published: World):
    host = f"http://127.0.0.1:{free_port()}"
    broken = elsewhere(published, bigquery_emulator_host=host)
    words = ["the BigQuery dataset", "does not answer", host, "is `taxi up` running?"]
    loses_nothing(published, broken, words, True, "bigquery_table")


@pytest.mark.parametrize("moment", ["_totals", "_publish", "_drop_leftovers"])
def test_a_bigquery_that_goes_down_in_between(published: World, moment: str):
    """Its queries have a loop of retries of their own, which must not wait for longer than the rest."""
    before = held(published)
    original = getattr(type(published.bigquery), moment)

    def goes_down(self: Any, client: Any, *arguments: Any) -> Any:
        client._connection.API_BASE_URL = f"http://127.0.0.1:{free_port()}"
        return original(self, client, *arguments)

    with impatient() as patch:
        patch.setattr(type(published.bigquery), moment, goes_down)
        fails(published, ["the BigQuery dataset", "does not answer"], True, "bigquery_table")
    assert held(published) == before
    assert published.run("green", APRIL, force=True).success
    assert not published.leftovers()


def test_a_bigquery_that_accepts_and_is_silent(published: World):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broken = elsewhere(published, bigquery_emulator_host=f"http://127.0.0.1:{silent.getsockname()[1]}")
        loses_nothing(published, broken, ["the BigQuery dataset", "does not answer"], True, "bigquery_table")


def test_patience_with_google_is_tens_of_seconds():
    assert google_module.PATIENCE_SECONDS <= 30
    retries = (lake_module.RETRY, bigquery_module.CALL["retry"], bigquery_module.JOB_RETRY)
    assert [retry.timeout <= 60 for retry in retries] == [True] * 3
    assert bigquery_module.CALL["timeout"] <= 60


@contextmanager
def refusing_postgres(message: str) -> Iterator[int]:
    """Serve PostgreSQL's refusal of a wrong password on a port, and return the port."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                while connection.recv(4096)[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30"):
                    connection.sendall(b"N")
                fields = b"SFATAL\0VFATAL\0C28P01\0M" + message.encode() + b"\0\0"
                connection.sendall(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def with_postgres(world: World, url: str | None) -> World:
    return replace(world, resources=world.resources | {"postgres": PostgresWarehouse(url=url)})


def test_a_wrong_password(published: World):
    with refusing_postgres('password authentication failed for user "taxi"') as port:
        broken = with_postgres(published, f"postgresql://taxi:wr0ng@127.0.0.1:{port}/taxi")
        sentence = fails(broken, ["password authentication failed", "check TAXI_POSTGRES_URL"], False, "postgres_table")
    assert "wr0ng" not in sentence


@pytest.mark.parametrize(
    ("url", "words", "retried"),
    [
        ("{gone}", ['"test_', "does not exist", "check TAXI_POSTGRES_URL"], False),
        ("{nobody}", ['role "nobody" does not exist', "TAXI_POSTGRES_URL"], False),
        ("postgresql://taxi:s3cret@127.0.0.1:{port}/taxi", ["does not answer", "127.0.0.1", "taxi up"], True),
        ("postgresql://taxi:s3cret@postgres.invalid/taxi", ["does not answer", "postgres.invalid"], True),
        ("127.0.0.1:{port}", ["is no PostgreSQL address", "postgresql://user:password@host:port/database"], False),
        ("postgresql://taxi:x@s3cret@127.0.0.1/taxi", ["bare '@' or '/'", "%40"], False),
        ("postgresql://taxi:x/s3cret@127.0.0.1/taxi", ["bare '@' or '/'", "%2F"], False),
        (None, ["TAXI_POSTGRES_URL is not set", "postgresql://user:password@host:port/database"], False),
    ],
)
def test_a_database_that_is_not_there(published: World, url: str | None, words: list[str], retried: bool):
    before = held(published)
    if url is not None:
        local = published.postgres_url
        gone, nobody = local.replace("?", "_gone?"), local.replace("postgres@", "nobody@")
        url = url.format(gone=gone, nobody=nobody, port=free_port())
    sentence = fails(with_postgres(published, url), words, retried, "postgres_table")
    assert "s3cret" not in sentence
    assert held(published) == before


def test_a_full_disk_under_postgres(published: World, monkeypatch: pytest.MonkeyPatch):
    before = held(published)

    def full(*_: Any, **__: Any) -> None:
        raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(postgres_module, "copy", full)
        fails(published, ["The disk of the database", "is full", "free some space"], False, "postgres_table")
    assert held(published) == before


def test_a_step_whose_input_is_not_there(world: World):
    for name, words in {
        "clean_parquet": "no raw file of green 2020-04; materialize raw_file first",
        "gcs_object": "materialize green/clean_parquet first",
        "bigquery_table": "materialize green/gcs_object first",
        "postgres_table": "materialize green/gcs_object first",
    }.items():
        fails(world, [words], False, name)


@pytest.fixture
def cloud(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Return the world on a machine that is set up for the cloud but has no credentials."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    # What may hold a secret is read when it is used.
    monkeypatch.setenv("TAXI_SOURCE", "sample")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    # Else the metadata server of a cloud machine is looked for, which takes google.auth up to 12 s elsewhere.
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    environ = {"TAXI_ENV": "cloud", "TAXI_GCP_PROJECT": "taxi-cloud", "TAXI_GCS_BUCKET": "taxi-cloud"}
    settings = Settings.from_environment(environ | {"TAXI_DATA_DIR": str(tmp_path / "cloud"), "TAXI_SOURCE": "sample"})
    return replace(world, settings=settings, resources=build_resources(settings))


@pytest.mark.parametrize("name", NAMES)
def test_credentials_that_are_missing_in_the_cloud(cloud: World, name: str):
    words = ["No usable Google credentials for the bucket gs://taxi-cloud", "gcloud auth application-default login"]
    fails(cloud, [*words, "GOOGLE_APPLICATION_CREDENTIALS"], False, name)


@pytest.mark.parametrize("content", [None, "", "{}", "no JSON"])
def test_a_key_file_that_is_none(cloud: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None):
    key = tmp_path / "key.json"
    if content is not None:
        key.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    fails(cloud, ["No usable Google credentials", "GOOGLE_APPLICATION_CREDENTIALS"], False, "raw_file")


def test_settings_that_are_missing_in_the_cloud(published: World, cloud: World):
    """Each is asked for by the asset that needs it, the month being in a lake that is there."""
    settings = cloud.settings.model_copy(update={"gcs_bucket": None, "gcp_project": None})
    unset = build_resources(settings)
    missing = {"raw_file": ("lake", "TAXI_GCS_BUCKET"), "bigquery_table": ("bigquery", "TAXI_GCP_PROJECT")}
    for name, (resource, variable) in (missing | {"postgres_table": ("postgres", "TAXI_POSTGRES_URL")}).items():
        lacking = replace(published, resources=published.resources | {resource: unset[resource]})
        fails(lacking, [variable, "is set" if resource != "postgres" else "is not set"], False, name)
