"""`taxi estimate`: its arguments, and the whole process with a model in a bucket."""

import json
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from google.cloud import storage

from taxi_assets.cli.estimate import find_zone, parse_time
from taxi_assets.cli.main import cli
from taxi_assets.errors import SettingsError
from taxi_assets.models import store
from taxi_assets.models.backtest import train
from taxi_assets.models.card import build_card
from taxi_assets.models.fit import PARAMETERS
from taxi_assets.models.places import known_places
from taxi_assets.models.trips import Questions
from taxi_assets.resources.google_errors import client_arguments
from taxi_assets.settings import PROJECT_ROOT, Settings
from taxi_assets_tests.support.trips import month_trips
from taxi_assets_tests.support.waiting import HANG_SECONDS

# Each takes longer to import than an answer may, or is not needed for one.
NOT_IMPORTED = {"dagster", "sklearn", "scipy", "skops", "pandas", "psycopg"}


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("JFK Airport", 132),
        ("jfk", 132),
        ("JFK Airprot", 132),
        ("times sq", 230),
        ("Times Square/Theatre District", 230),
        ("230", 230),
        ("  LaGuardia   airport ", 138),
        ("Corona", 56),
        ("Astoria P", 8),
    ],
)
def test_names_are_completed_and_corrected(text: str, zone: int):
    assert find_zone(text).id == zone


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("airport", "is a part of 3 zones"),
        ("xyzzy", "is no taxi zone's name"),
        ("", "is no taxi zone's name"),
        ("264", "is no zone with a place"),
        ("0", "is no zone with a place"),
    ],
)
def test_what_is_no_zone_is_refused(text: str, words: str):
    with pytest.raises(SettingsError, match=words):
        find_zone(text)


def test_a_time_is_local_and_has_an_hour():
    assert parse_time("2024-01-15 17:30") == parse_time("2024-01-15T17:30:00") == datetime(2024, 1, 15, 17, 30)
    for text in ("2024-01-15", "17:30", "2024-01-15 25:00", "2024-01-15 17:30+01:00", "tomorrow at noon", ""):
        with pytest.raises(SettingsError, match="is no local time"):
            parse_time(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at", "soon"], "'soon' is no local time"),
        (["--at", "2024-01-15 17:30", "--dataset", "blue"], "'blue' is no dataset"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(arguments: list[str], words: str):
    result = CliRunner().invoke(cli, ["estimate", "--from", "JFK", "--to", "Corona", *arguments])
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.services
def test_the_process_answers_from_the_bucket_and_imports_little(
    services: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(PARAMETERS, "max_iter", 10)
    month = date(2023, 2, 1)
    model = train({date(2023, 1, 1): month_trips(date(2023, 1, 1))}, month, known_places())
    content = store.to_bytes(model, "green")
    facts = store.file_facts(content)
    card = json.dumps(build_card("green", model, facts, [], sample=True))
    client = storage.Client(project=services.gcp_project, **client_arguments(services.storage_emulator_host))
    bucket = client.create_bucket("estimates")
    bucket.blob(store.model_object("green", month, str(facts["name"]))).upload_from_string(content)
    bucket.blob(store.model_object("green", month, store.CARD)).upload_from_string(card)

    def ask(dataset: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-X", "importtime", "-m", "taxi_assets.cli.main", "estimate", "--json"]
        command += ["--dataset", dataset, "--from", "132", "--to", "230", "--at", "2023-02-10 17:30"]
        # Nobody listens on port 9: a proxy is not asked for what is on this machine.
        own = {
            "TAXI_GCS_PORT": str(services.gcs_port),
            "TAXI_GCS_BUCKET": "estimates",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }
        own |= {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=HANG_SECONDS)

    done = ask("green")
    asked = Questions(np.array([132]), np.array([230]), np.array(["2023-02-10T17:30"], "datetime64[s]"))
    found = json.loads(done.stdout)
    wanted = [round(float(values[0]), 1) for values in model.answer(asked, known_places())]
    assert [found["minutes"], found["p10"], found["p90"]] == wanted
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "google.cloud.storage" in imported
    assert not NOT_IMPORTED & imported
    assert "The lake holds no duration model of yellow" in ask("yellow").stderr
