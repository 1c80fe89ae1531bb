"""A server of published files for the tests of the source and of the warehouses."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from taxi_assets_tests.support.http_server import FileServer, serve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    """Serve a folder of this test alone."""
    with serve(tmp_path / "source") as running:
        yield running
