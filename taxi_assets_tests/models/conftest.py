"""Small trees for made-up months; the tests of real months take the real ones."""

from collections.abc import Iterator

import pytest

from taxi_assets.models.fit import PARAMETERS


@pytest.fixture(autouse=True, scope="module")
def small_trees() -> Iterator[None]:
    """Grow few trees; how well they fit is not what these tests are about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PARAMETERS, "max_iter", 10)
        patch.setitem(PARAMETERS, "learning_rate", 0.4)
        yield
