"""A skops file is read by numpy alone, and nothing is made of what is neither a value nor a tree."""

import io
import json
import zipfile

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from skops.io import dumps, loads

from taxi_assets.models.skops_file import ForeignTypeError, by_numpy

VALUES = {"text": "é", "number": 0.1, "none": None, "nested": {"array": np.arange(6).reshape(2, 3)}}


def test_values_are_those_of_skops():
    content = dumps(VALUES)
    found, wanted = by_numpy(content), loads(content)
    assert np.array_equal(found["nested"].pop("array"), wanted["nested"].pop("array"))
    assert found == wanted


@pytest.mark.parametrize("value", [Ridge(), print, np.random.default_rng(0), {1, 2}, np.array([{}, "object"])])
def test_what_is_neither_a_value_nor_a_tree_is_not_made(value: object):
    with pytest.raises((ForeignTypeError, KeyError)):
        by_numpy(dumps({"value": value}))


def test_another_protocol_of_skops_is_refused():
    content = io.BytesIO(dumps(VALUES))
    with zipfile.ZipFile(content) as file:
        schema = json.loads(file.read("schema.json")) | {"protocol": 3}
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as file:
        file.writestr("schema.json", json.dumps(schema))
    with pytest.raises(ValueError, match="skops protocol 3"):
        by_numpy(changed.getvalue())
