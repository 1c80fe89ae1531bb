"""What shares a stack runs in one process, so that none is started twice."""

import copy
import os
from types import SimpleNamespace

import pytest
from xdist.remote import WorkerInteractor

from taxi_assets_tests.conftest import group


def test_two_processes_of_pytest_are_given_whole_groups(request: pytest.FixtureRequest) -> None:
    item = copy.copy(request.node)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        config = SimpleNamespace(getvalue=lambda name: name == "loadgroup")
        WorkerInteractor.pytest_collection_modifyitems(SimpleNamespace(), config=config, items=[item])
    assert item.nodeid.endswith(f"@{group(item)}")
