"""Load pyarrow and BigQuery's client without pandas: to be imported before either of them.

Both import pandas if it is installed, which dagster-gcp brings. Nothing here uses it, and it costs each process half a
second and 40 MiB. `Table.to_pandas` still works in such a process; BigQuery's `to_dataframe` only if pandas was
imported first.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class _HidePandas(MetaPathFinder):
    """Let an import of pandas fail as if it were not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:  # noqa: ARG002
        """Raise for pandas; leave any other module to those that come after."""
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def load() -> None:
    """Import what looks for pandas, while it finds none."""
    hide = _HidePandas()
    sys.meta_path.insert(0, hide)
    try:
        importlib.import_module("google.cloud.bigquery")
        # pyarrow looks for pandas at its first array, once.
        importlib.import_module("pyarrow").array([None])
    finally:
        sys.meta_path.remove(hide)


if "pandas" not in sys.modules:
    load()
