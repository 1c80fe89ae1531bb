"""The environment, read in one place: defaults, refusals, and no secret kept."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from taxi_assets.defs.build import build_resources
from taxi_assets.errors import SettingsError
from taxi_assets.settings import PROJECT_ROOT, TLC_SOURCE, VARIABLES, Settings


def settings(**environ: str) -> Settings:
    return Settings.from_environment(environ)


def test_defaults_are_local() -> None:
    found = settings()
    assert (found.env, found.source, found.is_set("source")) == ("local", "sample", False)
    assert found.data_dir == PROJECT_ROOT / ".taxi"
    assert (found.gcp_project, found.gcs_bucket) == ("taxi-local", "taxi-local")
    assert (found.bigquery_dataset, found.bigquery_location) == ("taxi", "US")
    assert found.storage_emulator_host == "http://127.0.0.1:9023"
    assert found.bigquery_emulator_host == "http://127.0.0.1:9050"
    assert (found.ui_port, found.bigquery_grpc_port, found.sample_rows) == (3000, 9060, None)


def test_empty_is_unset() -> None:
    assert settings(**dict.fromkeys(VARIABLES, "")) == settings()


def test_the_cloud_has_no_local_defaults() -> None:
    found = settings(TAXI_ENV="cloud")
    assert (found.gcp_project, found.gcs_bucket) == (None, None)
    assert (found.storage_emulator_host, found.bigquery_emulator_host) == (None, None)
    # A deployment must not load samples because a variable was forgotten.
    assert found.source == TLC_SOURCE


def test_ports_move_the_emulators() -> None:
    found = settings(TAXI_GCS_PORT="1234", TAXI_BIGQUERY_PORT="65535")
    assert found.storage_emulator_host == "http://127.0.0.1:1234"
    assert found.bigquery_emulator_host == "http://127.0.0.1:65535"
    assert settings(STORAGE_EMULATOR_HOST="http://gcs:1").storage_emulator_host == "http://gcs:1"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TAXI_ENVIRONMENT", "local", "TAXI_ENVIRONMENT is set but is no setting"),
        ("TAXI_ENV", "prod", "TAXI_ENV is 'prod'"),
        ("TAXI_SOURCE_ALLOW_PRIVATE", "yes", "TAXI_SOURCE_ALLOW_PRIVATE is 'yes'; it can be 1 or 0."),
        ("TAXI_GCP_PROJECT", "my`project", "it must be a project's id: 6 to 30 lower-case letters"),
        ("TAXI_GCP_PROJECT", "My-Project", "it must be a project's id: 6 to 30 lower-case letters"),
        ("TAXI_GCS_BUCKET", "gs://bucket", "it must be a bucket's name, without gs://"),
        ("TAXI_GCS_BUCKET", "a/../b", "it must be a bucket's name, without gs://"),
        ("TAXI_GCS_BUCKET", "b-", "it must be a bucket's name, without gs://"),
        ("TAXI_BIGQUERY_DATASET", "project.taxi", "it must be a dataset's name without its project"),
        ("TAXI_BIGQUERY_DATASET", "t`; DROP TABLE x; --", "it must be a dataset's name without its project"),
        ("TAXI_BIGQUERY_DATASET", "taxi\n", "it must be a dataset's name without its project"),
        ("TAXI_BIGQUERY_LOCATION", "US or EU", "it must be a location such as US"),
        ("TAXI_UI_PORT", "0", "TAXI_UI_PORT is '0'"),
        ("TAXI_EXECUTOR", "dask", "TAXI_EXECUTOR is 'dask'; it can be `in_process` or `celery`"),
        ("TAXI_EXECUTOR", "celery", "TAXI_EXECUTOR=celery needs TAXI_REDIS_URL"),
        ("TAXI_SPARK", "emr", "TAXI_SPARK is 'emr'; it can be `local` or `dataproc`"),
        ("TAXI_SPARK", "dataproc", "TAXI_SPARK=dataproc needs TAXI_DATAPROC_CLUSTER and TAXI_DATAPROC_REGION"),
        ("TAXI_DATAPROC_CLUSTER", "My_Cluster", "TAXI_DATAPROC_CLUSTER is 'My_Cluster'; it must be a cluster's name"),
        ("TAXI_DATAPROC_REGION", "us-central1-a", "TAXI_DATAPROC_REGION is 'us-central1-a'; it must be a region"),
        ("TAXI_REDIS_URL", "amqp://:p4ss@host", "TAXI_REDIS_URL does not begin with redis://"),
        ("TAXI_UI_PORT", "65536", "at most 65535"),
        ("TAXI_UI_PORT", "3000x", "TAXI_UI_PORT is '3000x'"),
        ("TAXI_SAMPLE_ROWS", "-1", "TAXI_SAMPLE_ROWS is '-1'"),
        ("TAXI_SAMPLE_ROWS", "٣", "whole number above 0"),
        ("TAXI_SOURCE", "ftp://x/{month}.csv", "neither `sample` nor begins with https://"),
        ("TAXI_SOURCE", "https://x/{month}.csv,sample", "neither `sample` nor begins with https://"),
        ("TAXI_SOURCE", "https://x/{month}/trips.csv", "lacks {month}"),
        ("TAXI_SOURCE", "https://x/{year}/trips.csv", "lacks {month}"),
        ("TAXI_SOURCE", "https://x/{months}.csv", "a template with {months}; there are {dataset}, {month}"),
    ],
)
def test_refusals(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        settings(**{name: value})


@pytest.mark.parametrize(
    "source",
    ["sample", "https://x/{dataset}_{month}.parquet", "file:///d/{month}.csv, https://x/{dataset}/{month}.csv.gz"],
)
def test_sources(source: str) -> None:
    found = settings(TAXI_SOURCE=source)
    assert (found.source, found.is_set("source")) == (source, True)


def test_secrets_are_not_kept() -> None:
    found = settings(TAXI_POSTGRES_URL="postgresql://u:hunter2@db/taxi", PGPASSWORD="hunter2")
    assert found.is_set("postgres_url")
    assert "hunter2" not in repr(found)


def test_the_data_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings(TAXI_DATA_DIR="here").data_dir == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings(TAXI_DATA_DIR="~/there").data_dir == tmp_path / "there"


@pytest.mark.parametrize("folder", ["/d", "/" + "x" * 300, "/ü" * 60])
def test_a_sockets_path_is_short_enough(folder: str) -> None:
    found = settings(TAXI_DATA_DIR=folder)
    assert len(os.fsencode(found.socket_dir / ".s.PGSQL.5432")) <= 107
    assert (found.socket_dir == Path(folder) / "run") == (len(folder) < 10)
    assert found.socket_dir == settings(TAXI_DATA_DIR=folder).socket_dir
    assert found.socket_dir != settings(TAXI_DATA_DIR=folder + "y").socket_dir


def test_the_socket_is_where_it_is_whatever_the_shell_s_folder_of_temporary_files(monkeypatch: pytest.MonkeyPatch):
    folder = "/" + "x" * 120
    before = settings(TAXI_DATA_DIR=folder).socket_dir
    monkeypatch.setattr("tempfile.tempdir", "/elsewhere")
    assert settings(TAXI_DATA_DIR=folder).socket_dir == before


@pytest.mark.parametrize(("driver", "scheme"), [({}, "postgresql"), ({"driver": "pg+x"}, "pg+x")])
def test_the_local_database(driver: dict[str, Any], scheme: str) -> None:
    found = settings(TAXI_DATA_DIR="/a folder/ü")
    url = found.local_postgres_url("taxi", **driver)
    assert url.startswith(f"{scheme}://postgres@/taxi?host=")
    assert unquote(url).startswith(f"{scheme}://postgres@/taxi?host={found.socket_dir}")
    assert " " not in url


def test_emulators_of_another_machine_are_for_the_local_environment_alone() -> None:
    elsewhere = {"TAXI_GCS_EMULATOR": "http://gcs:1", "TAXI_BIGQUERY_EMULATOR": "http://bigquery:2"}
    local, cloud = settings(**elsewhere), settings(TAXI_ENV="cloud", **elsewhere)
    assert (local.storage_emulator_host, local.bigquery_emulator_host) == ("http://gcs:1", "http://bigquery:2")
    assert (cloud.storage_emulator_host, cloud.bigquery_emulator_host) == (None, None)


@pytest.mark.parametrize("project", ["my-project-123", "example.com:my-project", "taxi-local"])
@pytest.mark.parametrize("bucket", ["taxi", "my_taxi-lake", "lake.example.com", "a" * 63])
def test_names_that_google_knows_are_taken(project: str, bucket: str) -> None:
    found = settings(TAXI_GCP_PROJECT=project, TAXI_GCS_BUCKET=bucket, TAXI_BIGQUERY_LOCATION="europe-west3")
    assert (found.gcp_project, found.gcs_bucket, found.bigquery_location) == (project, bucket, "europe-west3")


def test_private_sources_are_for_the_local_environment_unless_asked_for() -> None:
    assert settings().source_allow_private
    assert not settings(TAXI_ENV="cloud").source_allow_private
    assert settings(TAXI_ENV="cloud", TAXI_SOURCE_ALLOW_PRIVATE="1").source_allow_private
    assert not settings(TAXI_SOURCE_ALLOW_PRIVATE="0").source_allow_private
    for env, allowed in (("cloud", False), ("local", True)):
        assert build_resources(settings(TAXI_ENV=env))["source"].allow_private is allowed


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({"TAXI_ALERT_WEBHOOK": "hooks.slack.com/s3cret"}, "TAXI_ALERT_WEBHOOK"),
        ({"TAXI_UI_URL": "taxi.example.org/s3cret"}, "TAXI_UI_URL"),
        ({"TAXI_ALERT_EMAIL": "s3cret@example.org"}, "TAXI_ALERT_SMTP_URL"),
        ({"TAXI_ALERT_SMTP_URL": "smtp://user:s3cret@mail"}, "TAXI_ALERT_EMAIL"),
        ({"TAXI_ALERT_SMTP_URL": "user:s3cret@mail", "TAXI_ALERT_EMAIL": "a@b"}, "TAXI_ALERT_SMTP_URL"),
        ({"TAXI_ALERT_SMTP_URL": "smtp://mail", "TAXI_ALERT_EMAIL": "s3cret"}, "TAXI_ALERT_EMAIL"),
    ],
)
def test_where_alerts_cannot_go_is_refused_unseen(variables: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        settings(**variables)
    assert "s3cret" not in str(caught.value)


def test_where_alerts_go_and_what_they_link_to() -> None:
    assert settings(TAXI_UI_PORT="3456").ui_url == "http://127.0.0.1:3456"
    found = settings(
        TAXI_UI_URL="https://taxi.example.org/",
        TAXI_ALERT_WEBHOOK="https://hooks/s3cret",
        TAXI_ALERT_SMTP_URL="smtp://user:s3cret@mail",
        TAXI_ALERT_EMAIL="a@b",
    )
    assert (found.ui_url, found.is_set("alert_webhook"), found.is_set("alert_email")) == (
        "https://taxi.example.org",
        True,
        True,
    )
    assert "s3cret" not in repr(found)


def test_emulators_in_the_cloud_are_for_those_who_want_them() -> None:
    environ = {"TAXI_ENV": "cloud", "STORAGE_EMULATOR_HOST": "http://gcs:1"}
    with pytest.raises(SettingsError, match=r"TAXI_ENV is cloud, but STORAGE_EMULATOR_HOST of the local stack"):
        settings(**environ)
    assert settings(**environ, TAXI_ALLOW_EMULATORS="1").storage_emulator_host == "http://gcs:1"


def test_what_kubernetes_sets_for_services_is_passed_over() -> None:
    links = {
        "TAXI_ASSETS_SERVICE_HOST": "10.0.0.1",
        "TAXI_ASSETS_SERVICE_PORT": "80",
        "TAXI_ASSETS_SERVICE_PORT_HTTP": "80",
        "TAXI_ASSETS_PORT": "tcp://10.0.0.1:80",
        "TAXI_ASSETS_PORT_80_TCP": "tcp://10.0.0.1:80",
        "TAXI_ASSETS_PORT_80_TCP_ADDR": "10.0.0.1",
        # A Service with the name `taxi-ui`.
        "TAXI_UI_PORT": "tcp://10.0.0.1:80",
    }
    assert settings(**links) == settings()
    with pytest.raises(SettingsError, match="TAXI_ASSETS_PORT is set but is no setting"):
        settings(TAXI_ASSETS_PORT="3000")
