"""Imports that find no pandas: several libraries load it if it is installed, and nothing here uses it."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType


class _HidePandas(MetaPathFinder):
    """Let an import of pandas fail as if it were not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:  # noqa: ARG002
        """Raise for pandas; leave any other module to those that come after."""
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


@contextmanager
def without_pandas() -> Iterator[None]:
    """Let imports within find no pandas, unless it was imported before."""
    hide = _HidePandas()
    sys.meta_path.insert(0, hide)
    try:
        yield
    finally:
        sys.meta_path.remove(hide)
