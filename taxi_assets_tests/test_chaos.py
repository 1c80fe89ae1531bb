"""A short campaign of random faults, the same each time; `make chaos` runs a long one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taxi_assets.settings import PROJECT_ROOT
from taxi_assets_tests.support.waiting import HANG_SECONDS

ROUNDS, SEED = 8, 7


@pytest.mark.services
def test_every_month_is_there_exactly_once_whatever_happens(tmp_path: Path):
    command = [sys.executable, "-m", "chaos", "--small", "--rounds", str(ROUNDS), "--seed", str(SEED)]
    # How long a reader waits on a busy machine is not a matter of a test.
    command += ["--longest-wait", str(HANG_SECONDS), "--out", str(tmp_path / "chaos.jsonl")]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environ, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    rounds = [json.loads(line) for line in (tmp_path / "chaos.jsonl").read_text().splitlines()]
    assert [entry["violations"] for entry in rounds] == [[]] * ROUNDS, done.stdout + done.stderr
    assert (done.returncode, f"{ROUNDS} rounds with seed {SEED}" in done.stdout) == (0, True), done.stdout + done.stderr
