"""`taxi report`, as people type it: all that is loaded, with what is missing made first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taxi_assets.settings import PROJECT_ROOT
from taxi_assets_tests.support.waiting import HANG_SECONDS

pytestmark = pytest.mark.services


def taxi(variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "taxi_assets.cli.main", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=HANG_SECONDS)


def test_the_site_is_written_with_a_line_a_page_into_the_bucket_or_a_folder(variables: dict[str, str], tmp_path: Path):
    assert taxi(variables, "materialize", "green", "2020-04").returncode == 0
    done = taxi(variables, "report")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.strip().splitlines()
    assert [line.split("✓")[0].split() for line in lines[:4]] == [
        ["zones"],
        ["green", "2020-04", "marts"],
        ["green", "2020-04", "page"],
        ["overview", "of", "1", "months"],
    ]
    assert lines[-2] == "gs://taxi-local/reports/index.html"
    index = Path(lines[-1].removeprefix("file://"))
    assert (index.parent / "green" / "2020-04.html").is_file()
    assert 'href="green/2020-04.html"' in index.read_text(encoding="utf-8")
    out = tmp_path / "site"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    done = taxi(variables | {"BROWSER": str(browser)}, "report", "--open", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "opened").read_text() == (out / "index.html").as_uri()
    assert "marts" not in done.stdout
    assert done.stdout.strip().splitlines()[-1] == (out / "index.html").as_uri()
    assert (out / "green" / "2020-04.html").read_bytes() == (index.parent / "green" / "2020-04.html").read_bytes()
    assert (out / "index.html").read_bytes() == index.read_bytes()
    assert len(list((out / "parts").glob("*.png"))) >= 6


def test_without_a_stack_the_error_says_what_to_do(tmp_path: Path):
    own = {"TAXI_DATA_DIR": str(tmp_path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = taxi(own | {"PYTHONPATH": str(PROJECT_ROOT)}, "report")
    assert done.returncode == 1
    assert done.stderr.startswith("taxi: No local stack runs in ")
    assert "Traceback" not in done.stderr


def test_a_file_is_no_folder_for_a_site(variables: dict[str, str], tmp_path: Path):
    (tmp_path / "site").touch()
    done = taxi(variables, "report", "--out", str(tmp_path / "site"))
    assert done.returncode != 0
    assert "is a file" in done.stderr
