"""Import skops in a fraction of the time and memory."""

from typing import Any

from taxi_assets.hide_pandas import without_pandas


def skops_io() -> Any:
    """Import `skops.io`.

    skops trusts scikit-learn's estimators by name, and to list them imports every one of them, with the helpers of
    their tests. Here it gets a list of the one that our models are; any other in a file is a foreign type then.
    scikit-learn looks for pandas, which is not used.
    """
    with without_pandas():
        import sklearn.utils
        from sklearn.ensemble import HistGradientBoostingRegressor as Trees

        all_estimators = sklearn.utils.all_estimators
        sklearn.utils.all_estimators = lambda: [(Trees.__name__, Trees)]
        try:
            import skops.io
        finally:
            sklearn.utils.all_estimators = all_estimators
    return skops.io
