"""Load pyarrow and BigQuery's client without pandas: to be imported before either of them.

Both import pandas if it is installed, which dagster-gcp brings. Nothing here uses it, and it costs each process half a
second and 40 MiB. `Table.to_pandas` still works in such a process; BigQuery's `to_dataframe` only if pandas was
imported first.
"""

import importlib
import sys

from taxi_assets.hide_pandas import without_pandas


def load() -> None:
    """Import what looks for pandas, while it finds none."""
    with without_pandas():
        importlib.import_module("google.cloud.bigquery")
        # pyarrow looks for pandas at its first array, once.
        importlib.import_module("pyarrow").array([None])


if "pandas" not in sys.modules:
    load()
