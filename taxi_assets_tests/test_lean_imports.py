"""Processes of Dagster do without pandas, and those who want it can still have it."""

import subprocess
import sys

PROGRAM = """
import sys
from taxi_assets import lean_imports
import pyarrow as pa
from google.cloud import bigquery
table = pa.table({"rows": [1, 2]})
table.to_pylist()
assert "pandas" not in sys.modules
assert list(table.to_pandas()["rows"]) == [1, 2]
assert "pandas" in sys.modules
"""


def test_pandas_is_loaded_only_when_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
