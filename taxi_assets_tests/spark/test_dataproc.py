"""A job on Dataproc, by a client that runs the job's script here: its own types, the bucket's context and messages."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from google.api_core.exceptions import NotFound
from google.cloud.dataproc_v1.types import Job, JobStatus

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.contract.object_names import clean_object
from taxi_assets.defs.assets.history import build_history_year
from taxi_assets.settings import LOCAL_PROJECT
from taxi_assets.spark import dataproc, engine, history, local
from taxi_assets.spark.engine import SparkResource
from taxi_assets.spark.store import find_year
from taxi_assets_tests.conftest import World, failure, instance
from taxi_assets_tests.spark.conftest import APRIL
from taxi_assets_tests.support.java import QUICK, needs_java

CLUSTER = SparkResource(kind="dataproc", project="my-project", region="us-central1", cluster="taxi-history")
QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


class Cluster:
    """Stands for a cluster: it runs a job's script on this machine, with the bucket's months as files."""

    def __init__(self, world: World, folder: Path, ends: JobStatus.State = JobStatus.State.DONE) -> None:
        self.world, self.folder, self.ends = world, folder, ends
        self.jobs: list[Job] = []

    def submit_job(self, *, project_id: str, region: str, job: Job) -> Job:
        assert (project_id, region) == ("my-project", "us-central1")
        # What the client would send: it takes a message of its type, and nothing else.
        self.jobs.append(Job.deserialize(Job.serialize(job)))
        script = self.folder / "script.py"
        script.write_bytes(self.world.lake.fetch(self._name(job.pyspark_job.main_python_file_uri)).read_bytes())
        given = self._localized(list(job.pyspark_job.args))
        environment = {
            "STORAGE_EMULATOR_HOST": str(self.world.settings.storage_emulator_host),
            "GOOGLE_CLOUD_PROJECT": LOCAL_PROJECT,
            **local.environment(self.folder / "spark"),
            **QUICK,
        }
        command = [sys.executable, str(script), *job.pyspark_job.args]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        for path in sorted((self.folder / "out").rglob("*.parquet")):
            self.world.lake.put(path, f"{self._name(given)}/{path.relative_to(self.folder / 'out')}", {})
        state = self.ends if done.returncode == 0 else JobStatus.State.ERROR
        return Job(job_uuid="1234", done=True, status=JobStatus(state=state, details=done.stderr[-300:]))

    def _name(self, uri: str) -> str:
        return uri.removeprefix(f"gs://{self.world.lake.bucket}/")

    def _localized(self, arguments: list[str]) -> str:
        """Let the context name files here, as there is no connector of Google's; return where the results belong."""
        from dagster_pipes import decode_param

        params = decode_param(arguments[arguments.index("--dagster-pipes-context") + 1])
        blob = self.world.lake.get_client().bucket(params["bucket"]).blob(params["key"])
        context = json.loads(blob.download_as_bytes())
        extras = context["extras"]
        out = str(extras["out"])
        for view in extras["views"].values():
            view["files"] = [str(self.world.lake.fetch(self._name(uri))) for uri in view["files"]]
        extras["out"] = str(self.folder / "out")
        extras["conf"] |= local.configuration(self.folder / "spark")
        blob.upload_from_string(json.dumps(context))
        return out


@pytest.fixture(autouse=True)
def quick_polls(one_table: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataproc, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(dataproc, "MESSAGES_SECONDS", 0.1)


def make(world: World, controller: Any, monkeypatch: pytest.MonkeyPatch) -> dg.ExecuteInProcessResult:
    monkeypatch.setattr(dataproc, "job_controller", lambda region: controller)
    return dg.materialize(
        [build_history_year(DATASETS["green"])],
        partition_key="2020",
        resources=world.resources | {"spark": CLUSTER},
        run_config=QUIET,
        instance=instance(),
        raise_on_error=False,
    )


@needs_java
def test_the_script_runs_as_a_job_and_its_message_makes_the_year(
    green: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(green, tmp_path)
    result = make(green, cluster, monkeypatch)
    assert result.success
    _, made = find_year(green.lake, "green", 2020)
    assert made.tables["payment_month"].rows > 0
    assert green.lake.find(made.tables["payment_month"].object) is not None
    assert green.lake.find(clean_object("green", APRIL)) is not None
    [job] = cluster.jobs
    assert job.placement.cluster_name == "taxi-history"
    # The client of Dagster polls by the UUID that Dataproc gives.
    assert job.reference.job_id == ""
    assert job.pyspark_job.main_python_file_uri.startswith(f"gs://{green.lake.bucket}/history/code/history-")
    # Nothing at the top of the bucket; housekeeping removes what is left under `pending/`.
    assert {item.name.split("/")[0] for item in green.lake.list("")} <= {
        "raw",
        "clean",
        "rejected",
        "history",
        "pending",
    }


def script(tmp_path: Path, then: str) -> Path:
    """Return a script that opens the connection as the real one does, and makes nothing."""
    path = tmp_path / "other.py"
    source = Path(history.__file__).read_text(encoding="utf-8").replace("from pyspark.sql import SparkSession", "")
    head = "from __future__ import annotations\n" + source.split('if __name__ == "__main__":')[0]
    path.write_text(f"{head}\nwith pipes():\n    {then}\n")
    return path


@pytest.mark.parametrize(
    ("then", "sentence"),
    [
        ("pass", "ended without its final message with the rows of each table"),
        ("sys.exit(3)", "failed: Dataproc job failed with error"),
    ],
)
def test_a_job_that_says_nothing_or_fails_leaves_the_year(
    green: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: str, sentence: str
) -> None:
    before = green.lake.find("history/green/2020/manifest.json")
    monkeypatch.setattr(engine, "SCRIPT", script(tmp_path, then))
    result = make(green, Cluster(green, tmp_path), monkeypatch)
    assert f"Spark on green 2020 {sentence}" in failure(result)
    assert green.lake.find("history/green/2020/manifest.json") == before


def test_a_cluster_that_is_not_there_is_a_sentence(green: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        def submit_job(self, **_: Any) -> Job:
            raise NotFound("Cluster not found")  # type: ignore[no-untyped-call]

    result = make(green, Nothing(), monkeypatch)
    assert "the Dataproc cluster taxi-history of my-project in us-central1 does not exist; create it" in failure(result)


def test_without_a_name_of_a_cluster_the_settings_are_named() -> None:
    where: Callable[[], Any] = SparkResource(kind="dataproc", project="my-project")._where
    with pytest.raises(engine.ServiceError, match="set TAXI_GCP_PROJECT, TAXI_DATAPROC_REGION and"):
        where()
