"""What `taxi doctor` finds in Cloud Storage and BigQuery, against the emulators."""

import pytest
from google.cloud import bigquery

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.doctor import google
from taxi_assets.doctor.check import Line, run_checks
from taxi_assets.settings import Settings
from taxi_assets_tests.conftest import World, changed


def lines(world: World, name: str) -> list[Line]:
    return run_checks([check for check in google.checks(world.settings, world.resources) if check.name == name])


def only(found: list[Line]) -> tuple[str, str]:
    [line] = found
    return line.status, line.text


def test_a_bucket_where_months_can_be_replaced(world: World) -> None:
    status, text = only(lines(world, "bucket"))
    assert (status, "listed, created, overwritten and deleted" in text) == ("ok", True)
    assert not world.leftovers()


def test_a_bucket_that_does_not_exist(world: World) -> None:
    world.resources["lake"] = changed(world.lake, bucket="no-such-bucket")
    status, text = only(lines(world, "bucket"))
    assert (status, "no-such-bucket" in text, "TAXI_GCS_BUCKET" in text) == ("failed", True, True)
    assert "taxi doctor" not in text


def test_a_dataset_is_made_by_migrate(world: World) -> None:
    status, text = only(lines(world, "BigQuery"))
    assert (status, "`taxi migrate` makes it" in text) == ("warning", True)
    world.bigquery.ensure_tables()
    status, text = only(lines(world, "BigQuery"))
    assert (status, "created, loaded, changed in a transaction and deleted" in text) == ("ok", True)
    with world.bigquery.get_client() as client:
        names = [table.table_id for table in client.list_tables(world.settings.bigquery_dataset)]
    assert not [name for name in names if name.startswith("doctor_")]


def test_a_dataset_in_which_months_expire(world: World) -> None:
    world.bigquery.ensure_tables()
    with world.bigquery.get_client() as client:
        home = client.get_dataset(world.settings.bigquery_dataset)
        home.default_partition_expiration_ms = 86_400_000
        client.update_dataset(home, ["default_partition_expiration_ms"])
        kept = client.get_dataset(world.settings.bigquery_dataset).default_partition_expiration_ms
    if kept is None:
        pytest.skip("the emulator does not keep a dataset's expiry")
    status, text = only(lines(world, "BigQuery"))
    assert (status, "1 day" in text or "expir" in text) == ("failed", True)


def test_a_table_of_somebody_else_under_our_name(world: World) -> None:
    with world.bigquery.get_client() as client:
        client.create_dataset(world.settings.bigquery_dataset)
        schema = [bigquery.SchemaField("vendorid", "INT64")]
        client.create_table(bigquery.Table(world.bigquery.table(DATASETS["green"]), schema=schema))
    found = lines(world, "BigQuery")
    assert {line.status for line in found} == {"failed"}
    assert "green_trips" in found[0].text


def test_services_that_do_not_answer(world: World) -> None:
    world.resources["lake"] = changed(world.lake, emulator_host="http://127.0.0.1:9")
    world.resources["bigquery"] = changed(world.bigquery, emulator_host="http://127.0.0.1:9")
    checks = [check for check in google.checks(world.settings, world.resources) if check.name != "credentials"]
    for line in run_checks(checks, seconds=1):
        assert line.status in ("failed", "unchecked")


def test_credentials(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    assert only(lines(world, "credentials")) == ("ok", "The emulators need none.")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    cloud = Settings.from_environment(
        {"TAXI_ENV": "cloud", "TAXI_GCP_PROJECT": "my-project-123", "TAXI_GCS_BUCKET": "bucket-1"}
    )
    [check] = [check for check in google.checks(cloud, world.resources) if check.name == "credentials"]
    status, text = only(run_checks([check]))
    assert (status, "gcloud auth application-default login" in text) == ("failed", True)
