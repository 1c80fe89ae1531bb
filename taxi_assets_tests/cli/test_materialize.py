"""`taxi materialize`, as people type it: checked first, shown on the way, one sentence at a failure."""

import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from taxi_assets.cli import month_runs
from taxi_assets.cli.main import cli
from taxi_assets.cli.month_runs import StepReport
from taxi_assets.cli.progress import progress
from taxi_assets.settings import Settings
from taxi_assets_tests.support.http_server import Fault, serve
from taxi_assets_tests.support.versions import version
from taxi_assets_tests.support.waiting import HANG_SECONDS, wait_for

pytestmark = pytest.mark.services


def start(variables: dict[str, str], folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "taxi_assets.cli.main", "materialize", *arguments]
    return subprocess.Popen(
        command, env=variables, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(variables: dict[str, str], folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(variables, folder, *arguments)
    out, err = process.communicate(timeout=HANG_SECONDS)
    return process.returncode, out, err


def test_a_span_of_months_ends_with_a_table_and_a_second_time_does_nothing(variables: dict[str, str], tmp_path: Path):
    for _ in range(2):
        code, out, err = run(variables, tmp_path, "green", "2020-04..2020-05")
        assert (code, err) == (0, "")
        lines = out.strip().splitlines()
        assert sum("✓" in line for line in lines) == 2 * len(month_runs.STEPS)
        assert [line.split()[:3] for line in lines[-2:]] == [
            ["green", "2020-04", "1,000"],
            ["green", "2020-05", "1,000"],
        ]


def test_the_sentence_of_a_failing_step_is_the_last_thing_printed(variables: dict[str, str], tmp_path: Path):
    with serve(tmp_path / "source") as server:
        server.put("green_2020-04.csv.gz", version(300).data)
        mine = variables | {"TAXI_SOURCE": server.url("/green_{month}.csv.gz")}
        code, out, err = run(mine, tmp_path, "green", "2020-04..2020-05")
    assert code == 1
    assert "Traceback" not in out + err
    assert out.strip().splitlines()[-1].startswith("green    2020-04")
    [sentence] = err.strip().splitlines()
    assert sentence.startswith("taxi: green 2020-05 failed at raw_file: green 2020-05 is not published at its source")


def test_ctrl_c_cancels_the_run(variables: dict[str, str], tmp_path: Path):
    with serve(tmp_path / "source") as server:
        server.put("green_2020-06.csv.gz", version(300, month=date(2020, 6, 1)).data)
        server.plan("/green_2020-06.csv.gz", Fault(hang_after=1000))
        mine = variables | {"TAXI_SOURCE": server.url("/green_{month}.csv.gz")}
        process = start(mine, tmp_path, "green", "2020-06")
        wait_for(server.hanging.is_set, "the download")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, err) == (130, "taxi: stopped; the month under way is as it was before.\n")
    assert "Traceback" not in out
    url = Settings.from_environment(variables).local_postgres_url("dagster")
    with psycopg.connect(url) as connection:
        [(status,)] = connection.execute("SELECT status FROM runs ORDER BY id DESC LIMIT 1").fetchall()
    assert status == "CANCELED"


WRONG = {
    "a dataset that is near": (["gren", "2020-04"], "'gren' is no dataset, did you mean green; there are"),
    "a month that is none": (["green", "2020-13"], "'2020-13' is no month; write it as 2020-04"),
    "a month before the first": (["green", "2010-01"], "green has no 2010-01: its first month is 2013-08"),
    "a month to come": (["green", "2020-04..2099-01"], "green 2099-01 has not ended; the newest month to load is"),
    "a span backwards": (["green", "2020-04..2020-01"], "ends before it begins"),
    "no stack": (["green", "2020-04"], "No local stack runs in"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_one_sentence_before_anything_starts(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TAXI_DATA_DIR", str(tmp_path / "data"))
    arguments, words = WRONG[kind]
    done = CliRunner().invoke(cli, ["materialize", *arguments])
    assert done.exit_code == 1
    assert done.output.startswith("taxi: ")
    assert words in done.output
    assert len(done.output.splitlines()) == 1


def test_in_a_cloud_missing_variables_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TAXI_ENV", "cloud")
    done = CliRunner().invoke(cli, ["materialize", "green", "2020-04"])
    assert (done.exit_code, "also needs DAGSTER_POSTGRES_URL" in done.output) == (1, True)


def test_a_line_a_step_where_there_is_no_terminal():
    lines: list[str] = []
    with progress(None, lines.append) as watch:
        report = watch("green 2020-04")
        report(StepReport("raw_file", "retry"))
        report(StepReport("raw_file", "success", seconds=1.25))
        report(StepReport("", "message", "10 rows read"))
        report(StepReport("clean_parquet", "failure", "no room"))
    assert [line.split("raw_file")[-1].split("clean_parquet")[-1].strip() for line in lines] == [
        "… tried again soon",
        "✓ 1.2 s",
        "✗ no room",
    ]


def test_bars_show_rows_and_rate_in_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with progress(1_000_000, print) as watch:
        report = watch("green 2020-04")
        report(StepReport("raw_file", "success"))
        report(StepReport("", "message", "500,000 rows read"))
    assert "clean_parquet, 500,000 rows" in capsys.readouterr().err
