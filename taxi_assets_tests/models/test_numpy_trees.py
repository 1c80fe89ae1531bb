"""Trees evaluated by numpy give what scikit-learn gives, to the last bit."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from skops.io import dumps

from taxi_assets.models.features import FEATURES
from taxi_assets.models.numpy_trees import Trees
from taxi_assets.models.places import Floats
from taxi_assets.models.skops_file import by_numpy

ROWS = 4000


def random_rows(seed: int, odd: tuple[float, ...]) -> Floats:
    """Return rows of numbers of all sizes, of which some are whole and often equal, and some have the odd values."""
    random = np.random.default_rng(seed)
    found = random.normal(size=(ROWS, len(FEATURES))) * 10.0 ** random.integers(-3, 6, len(FEATURES))
    found[:, ::3] = np.round(random.normal(size=found[:, ::3].shape) * 4)
    for value in odd:
        found[random.random(found.shape) < 0.1] = value
    return found


@pytest.mark.parametrize("loss", [{}, {"loss": "quantile", "quantile": 0.9}])
@pytest.mark.parametrize("odd", [(), (np.nan,)])
def test_random_rows(loss: dict, odd: tuple[float, ...]):
    fitted_on = random_rows(1, odd)
    # All features matter, and whether one is missing.
    minutes = np.nansum(np.sign(fitted_on) * np.log1p(np.abs(fitted_on)), axis=1) + 5 * np.isnan(fitted_on[:, 3])
    grown = HistGradientBoostingRegressor(max_iter=30, **loss).fit(fitted_on, minutes)
    trees = by_numpy(dumps({"trees": grown}))["trees"]
    assert isinstance(trees, Trees)
    asked = np.concatenate([random_rows(2, (np.nan, np.inf, -np.inf)), fitted_on])
    wanted = grown.predict(asked)
    assert len(np.unique(wanted)) > ROWS / 4
    assert np.array_equal(trees.predict(asked), wanted)


def test_a_tree_that_is_one_leaf():
    grown = HistGradientBoostingRegressor(max_iter=3).fit(np.zeros((50, 1)), np.arange(50.0))
    trees = by_numpy(dumps(grown))
    assert trees.depth == 0
    assert np.array_equal(trees.predict(np.ones((2, 1))), grown.predict(np.ones((2, 1))))


def test_categories_are_refused():
    random = np.random.default_rng(0)
    kinds = random.integers(0, 5, (500, 1)).astype(float)
    grown = HistGradientBoostingRegressor(max_iter=3, categorical_features=[0]).fit(kinds, kinds[:, 0] % 2)
    with pytest.raises(ValueError, match="a feature is a category"):
        by_numpy(dumps(grown))
