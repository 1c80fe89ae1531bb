"""What tests of commands in a user's shell share."""

import os
from collections.abc import Iterator

import pytest

from taxi_assets.local.ports import free_port
from taxi_assets.local.stack import Stack
from taxi_assets.settings import PORT_DEFAULTS, PROJECT_ROOT, Settings


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Run a local stack without Dagster's services, and return the variables of a user's shell beside it."""
    folder = tmp_path_factory.mktemp("stack")
    own = {name: str(free_port()) for name in PORT_DEFAULTS}
    own |= {"TAXI_DATA_DIR": str(folder / "data"), "TAXI_SAMPLE_ROWS": "1000", "PATH": os.environ["PATH"]}
    own |= {"HOME": str(folder), "PYTHONPATH": str(PROJECT_ROOT)}
    with Stack(Settings.from_environment(own), dagster=False, environ=own).running():
        yield own
