"""The lines of `taxi status` about the datasets, read from a real Dagster database."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from taxi_assets.cli.operate import datasets_table
from taxi_assets.contract.datasets import DATASETS
from taxi_assets.local.environment import psycopg_url
from taxi_assets.runtime import load_status
from taxi_assets.runtime.load_status import LOADED, PUBLISHED, TO_REPAIR
from taxi_assets.runtime.names import month_job_name, reconciliation_key
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.conftest import World
from taxi_assets_tests.support.waiting import HANG_SECONDS

ALL = ("raw_file", "clean_parquet", "gcs_object", "bigquery_table", "postgres_table")


def materialized(instance: dg.DagsterInstance, dataset: str, month: str, *names: str) -> None:
    for name in names:
        event = dg.AssetMaterialization(dg.AssetKey([dataset, name]), partition=f"{month}-01")
        instance.report_runless_asset_event(event)


def ran(
    instance: dg.DagsterInstance, job: str, month: str, status: dg.DagsterRunStatus, assets: Sequence[str] = ()
) -> None:
    selection = frozenset(dg.AssetKey(asset.split("/")) for asset in assets) or None
    tags = {"dagster/partition": f"{month}-01"}
    create_run_for_test(instance, job_name=job, status=status, tags=tags, asset_selection=selection)


def reconciled(instance: dg.DagsterInstance, dataset: str, **lists: str) -> None:
    metadata = {PUBLISHED: "none", LOADED: "none", TO_REPAIR: "none"} | lists
    instance.report_runless_asset_event(
        dg.AssetMaterialization(dg.AssetKey(reconciliation_key(dataset)), metadata=dict(metadata))
    )


def lines(world: World) -> dict[str, Any]:
    found = load_status.read(psycopg_url(os.environ["DAGSTER_POSTGRES_URL"]))
    assert isinstance(found, dict), found
    return found


def test_what_is_loaded_missing_failed_and_behind(world: World, dagster_home: dg.DagsterInstance):
    failure, success = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
    empty = {"loaded": 0, "missing": [], "failed": [], "behind": None, "newest_loaded": None}
    assert lines(world)["fhv"] == empty | {"newest_published": None, "reconciled_at": None}

    materialized(dagster_home, "green", "2024-01", *ALL)
    materialized(dagster_home, "green", "2024-02", *ALL[:4])
    ran(dagster_home, "green_month_job", "2024-01", failure)
    ran(dagster_home, "green_month_job", "2024-01", success)
    ran(dagster_home, "green_month_job", "2024-02", success)
    ran(dagster_home, "__ASSET_JOB", "2024-02", failure, ["green/postgres_table"])
    ran(dagster_home, "__ASSET_JOB", "2019-02", failure, ["fhvhv/raw_file", "fhvhv/clean_parquet"])
    found = lines(world)
    green = found["green"]
    assert (green["loaded"], green["missing"], green["failed"]) == (1, ["2024-02"], ["2024-02"])
    assert (found["green"]["behind"], found["green"]["newest_published"]) == (1, "2024-02")
    assert found["fhvhv"]["failed"] == ["2019-02"]
    assert found["yellow"]["failed"] == []

    # What the reconciliation saw at the source and in the places counts, until something newer is recorded.
    reconciled(dagster_home, "green", **{PUBLISHED: "2024-03, 2024-04", LOADED: "2023-12", TO_REPAIR: "2024-01"})
    line = lines(world)["green"]
    assert (line["loaded"], line["newest_loaded"], line["behind"]) == (1, "2023-12", 4)
    assert line["missing"] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert line["reconciled_at"]
    materialized(dagster_home, "green", "2024-01", *ALL)
    line = lines(world)["green"]
    assert (line["loaded"], line["newest_loaded"], line["behind"]) == (2, "2024-01", 3)
    text = datasets_table(lines(world))
    assert text.splitlines()[2].split() == ["green", "2", "3", "1", "3", "2024-01", "2024-04"]
    assert "missing: green 2024-02, 2024-03, 2024-04" in text
    assert "failed: fhvhv 2019-02" in text

    # What was wiped in the UI is not loaded.
    dagster_home.wipe_assets([dg.AssetKey(["green", name]) for name in ALL])
    dagster_home.wipe_assets([dg.AssetKey(reconciliation_key("green"))])
    assert lines(world)["green"]["loaded"] == 0


def test_a_database_that_is_not_there_is_told_at_once(services: Settings, tmp_path: Path):
    began = time.monotonic()
    found = load_status.read(services.model_copy(update={"data_dir": tmp_path}).local_postgres_url("dagster"))
    assert found == "Dagster's database does not answer"
    assert datasets_table(found) == f"datasets: unknown, {found}"
    assert time.monotonic() - began < 2
    assert load_status.read(services.local_postgres_url("dagster")) == "Dagster has not run yet"
    assert load_status.read("") == "DAGSTER_POSTGRES_URL is not set"


def test_a_dataset_may_have_an_underscore_in_its_name(
    world: World, dagster_home: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load_status, "DATASETS", {"green_plus": DATASETS["green"], "green": DATASETS["green"]})
    materialized(dagster_home, "green_plus", "2024-01", *ALL)
    ran(dagster_home, month_job_name("green_plus"), "2024-02", dg.DagsterRunStatus.FAILURE)
    reconciled(dagster_home, "green_plus", **{PUBLISHED: "2024-03"})
    found = lines(world)
    assert (found["green_plus"]["loaded"], found["green_plus"]["failed"]) == (1, ["2024-02"])
    assert found["green_plus"]["missing"] == ["2024-03"]
    assert (found["green"]["loaded"], found["green"]["failed"]) == (0, [])


@pytest.mark.parametrize(
    "module", ["taxi_assets.runtime.load_status", "taxi_assets.cli.main", "taxi_assets.local.supervisor"]
)
def test_status_does_not_wait_for_dagster_to_be_imported(module: str):
    # Not google.cloud itself: a namespace that a package may declare whenever Python starts (`*-nspkg.pth`).
    slow = {"dagster", "google.api_core", "google.cloud.bigquery", "google.cloud.storage", "requests"}
    code = f"import sys, {module}; print(sorted({slow} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
