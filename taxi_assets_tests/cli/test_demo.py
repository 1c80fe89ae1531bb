"""`taxi demo`, the first command that a newcomer runs, as a process with services of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taxi_assets.local.ports import free_port
from taxi_assets.settings import PORT_DEFAULTS, PROJECT_ROOT
from taxi_assets_tests.support.waiting import HANG_SECONDS

pytestmark = pytest.mark.services
STEPS = ("raw_file", "clean_parquet", "gcs_object", "bigquery_table", "postgres_table")


def test_the_demo_ends_with_what_every_sink_holds_also_when_it_is_run_again(tmp_path: Path):
    environ = {name: str(free_port()) for name in PORT_DEFAULTS}
    environ |= {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT_ROOT)}
    environ |= {"TAXI_DATA_DIR": str(tmp_path / "data"), "TAXI_SAMPLE_ROWS": "1000"}
    command = [sys.executable, "-m", "taxi_assets.cli.main", "demo", "--dataset", "green"]
    command += ["--month", "2015-01", "--month", "2024-01"]
    tables = []
    for number in range(2):
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=HANG_SECONDS)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert [sum(f" {step} " in line and "✓" in line for line in lines) for step in STEPS] == [2] * len(STEPS)
        header = next(at for at, line in enumerate(lines) if line.startswith("dataset  month"))
        assert sum("page = unchanged" in line for line in lines) == 2 * number
        last = lines[-1].partition("The charts of what is loaded: file://")[2]
        assert 'href="green/2024-01.html"' in Path(last).read_text(encoding="utf-8")
        # Dataset, month, raw rows, kept, rejected, BigQuery, PostgreSQL; seconds and reasons aside.
        tables.append([line.replace(",", "").split()[:7] for line in lines[header + 1 : header + 3]])
        answer = lines[next(at for at, line in enumerate(lines) if line.startswith("What did a trip cost?")) :]
        costs = [line.split() for line in answer if " Green taxi " in line]
        assert [month for month, *_ in costs] == ["2015-01", "2024-01"]
        for _, _, _, trips, total, tip in costs:
            assert 800 < int(trips.replace(",", "")) <= 1000
            assert 0 < float(tip) < float(total) < 100
    assert tables[0] == tables[1]
    for dataset, month, *counts in tables[0]:
        raw, kept, rejected, in_bigquery, in_postgres = map(int, counts)
        assert (dataset, month[:2]) == ("green", "20")
        assert raw == 1000 == kept + rejected
        assert 900 < kept == in_bigquery == in_postgres
