"""Without Java, or with an old one, a step ends with one sentence that says what to install."""

from pathlib import Path

import dagster as dg
import pytest

from taxi_assets.contract.datasets import DATASETS
from taxi_assets.defs.assets.history import build_history_year
from taxi_assets.errors import ServiceError
from taxi_assets.resources.lake import LakeResource
from taxi_assets.spark import local
from taxi_assets.spark.engine import SparkResource
from taxi_assets_tests.conftest import failure, instance

QUIET = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@pytest.fixture(autouse=True)
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave a PATH with one empty folder, and return that."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def java(folder: Path, says: str, code: int = 0) -> Path:
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho '{says}' >&2\nexit {code}\n")
    path.chmod(0o755)
    return path


def test_no_java_is_one_sentence_at_the_step(tmp_path: Path) -> None:
    lake = LakeResource(project="p", bucket="b", data_dir=str(tmp_path), emulator_host="http://127.0.0.1:1")
    result = dg.materialize(
        [build_history_year(DATASETS["green"])],
        partition_key="2023",
        resources={"lake": lake, "spark": SparkResource()},
        run_config=QUIET,
        instance=instance(),
        raise_on_error=False,
    )
    assert failure(result) == (
        "Spark needs Java, and none is in PATH; install Java 17 or later (on Debian: apt-get install "
        "openjdk-17-jre-headless), or set TAXI_SPARK=dataproc."
    )


def test_java_home_wins(tmp_path: Path, no_java: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java(no_java, 'openjdk version "21.0.1" 2023-10-17')
    local.check_ready()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jre"))
    with pytest.raises(ServiceError, match=r"JAVA_HOME is .*, which has none; install Java 17"):
        local.check_ready()


def test_an_old_java_is_named(no_java: Path) -> None:
    path = java(no_java, 'openjdk version "1.8.0_422"')
    with pytest.raises(ServiceError, match=f"needs Java 17 or later, and {path} is version 8; install"):
        local.check_ready()


def test_a_java_that_does_not_start(no_java: Path) -> None:
    java(no_java, "No Java runtime present", code=1)
    with pytest.raises(ServiceError, match="did not say its version; install"):
        local.check_ready()


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(ServiceError, match=r"pip install 'taxi-assets\[spark\]'"):
        local.check_ready()
