"""Fixtures of the tests that fetch a file: a server that has it, and the folder that it is fetched into."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taxi_assets_tests.support.download_helpers import DATA, NAME
from taxi_assets_tests.support.http_server import FileServer, serve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serve(tmp_path / "www") as running:
        running.put(NAME, DATA)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "raw" / "green"
