"""skops, imported without what no model here needs."""

import subprocess
import sys

from taxi_assets.settings import PROJECT_ROOT
from taxi_assets_tests.support.waiting import HANG_SECONDS

CODE = """
import sys
from taxi_assets.models.quick_skops import skops_io
skops = skops_io()
import sklearn.utils
from sklearn.ensemble import HistGradientBoostingRegressor as Trees
from sklearn.linear_model import LinearRegression
print(sorted({"pandas", "pytest", "sklearn.datasets._lfw"} & set(sys.modules)))
print(len(sklearn.utils.all_estimators()) > 100)
print(*(skops.get_untrusted_types(data=skops.dumps(kind())) for kind in (Trees, LinearRegression)))
"""


def test_only_what_models_are_made_of_is_imported_and_trusted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "True", "[] ['sklearn.linear_model._base.LinearRegression']"]
