"""deploy/google/main.tf: well formed, and no account may do more than it needs.

Its provider cannot be downloaded everywhere, without which `terraform validate` does nothing; so the file is read here.
"""

import shutil
import subprocess
from typing import Any

import hcl2
import pytest

from taxi_assets.settings import PROJECT_ROOT

FOLDER = PROJECT_ROOT / "deploy" / "google"


def plain(node: Any) -> Any:
    """hcl2's reading without the quotes that it keeps around texts."""
    if isinstance(node, dict):
        return {plain(key): plain(value) for key, value in node.items() if not str(key).startswith("__")}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return node.removeprefix('"').removesuffix('"') if isinstance(node, str) else node


@pytest.fixture(scope="module")
def resources() -> dict[tuple[str, str], dict[str, Any]]:
    with (FOLDER / "main.tf").open() as file:
        blocks = plain(hcl2.load(file))["resource"]
    return {(kind, name): body for block in blocks for kind, named in block.items() for name, body in named.items()}


def test_it_is_formatted_as_terraform_does() -> None:
    terraform = shutil.which("terraform")
    if not terraform:
        pytest.skip("terraform is not installed")
    done = subprocess.run(
        [terraform, "fmt", "-check", "-diff", str(FOLDER)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rights_are_these_and_no_more(resources: dict[tuple[str, str], dict[str, Any]]) -> None:
    rights = {
        (kind, name): body["role"] for (kind, name), body in resources.items() if kind.endswith(("_member", "_binding"))
    }
    assert rights == {
        ("google_storage_bucket_iam_member", "loader"): "roles/storage.objectUser",
        ("google_bigquery_dataset_iam_member", "loader"): "roles/bigquery.dataEditor",
        ("google_project_iam_member", "loader"): "roles/bigquery.jobUser",
        ("google_storage_bucket_iam_member", "ui"): "roles/storage.objectViewer",
        ("google_bigquery_dataset_iam_member", "analysts"): "roles/bigquery.dataViewer",
    }
    [condition] = resources["google_storage_bucket_iam_member", "ui"]["condition"]
    assert "/objects/dagster-logs/" in condition["expression"]


def test_bucket_is_closed_to_the_public_and_near_the_tables(resources: dict[tuple[str, str], dict[str, Any]]) -> None:
    bucket = resources["google_storage_bucket", "lake"]
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["location"] == resources["google_bigquery_dataset", "taxi"]["location"]
    assert bucket["lifecycle_rule"][0]["condition"][0]["matches_prefix"] == ["pending/"]


def test_nothing_is_read_from_elsewhere_and_no_key_is_kept(resources: dict[tuple[str, str], dict[str, Any]]) -> None:
    # A key in Terraform's state could be read by whoever reads that.
    assert {kind for kind, _ in resources} == {
        "google_storage_bucket",
        "google_bigquery_dataset",
        "google_service_account",
        "google_storage_bucket_iam_member",
        "google_bigquery_dataset_iam_member",
        "google_project_iam_member",
    }
