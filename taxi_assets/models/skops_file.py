"""Read the skops file of a model: by skops, or by numpy alone, which takes a tenth of the time of skops's imports."""

import io
import json
from typing import Any
from zipfile import ZipFile

import numpy as np

from taxi_assets.models.numpy_trees import Trees
from taxi_assets.models.quick_skops import skops_io

# Of the files that `by_numpy` understands; skops raises it if their layout changes.
PROTOCOL = 2
TREE = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
REGRESSOR = "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor"
# What skops does not trust by itself and these models are made of.
TRUSTED = frozenset({TREE})


class ForeignTypeError(Exception):
    """The file holds these types, which no model does."""


def by_skops(content: bytes) -> Any:
    """Return what the file holds, with scikit-learn's regressors.

    Raises:
        ForeignTypeError: It holds types that no model does.
        Exception: Whatever skops's readers of zip, JSON and arrays raise on a broken file.
    """
    skops = skops_io()
    if foreign := set(skops.get_untrusted_types(data=content)) - TRUSTED:
        raise ForeignTypeError(", ".join(sorted(foreign)))
    return skops.loads(content, trusted=sorted(TRUSTED))


def by_numpy(content: bytes) -> Any:
    """Return what the file holds, with `Trees` in the place of regressors.

    A skops file is a zip of arrays, in numpy's format, and a schema in JSON, which says where each belongs. Only values
    and trees are read: no type that the file names is imported or made.

    Raises:
        ForeignTypeError: It holds a type that no model does.
        Exception: Whatever the readers of zip, JSON and arrays raise on a broken file.
    """
    with ZipFile(io.BytesIO(content)) as file:
        schema = json.loads(file.read("schema.json"))
        if schema["protocol"] != PROTOCOL:
            raise ValueError(f"skops protocol {schema['protocol']}")
        return _value(schema, file)


def _value(node: dict[str, Any], file: ZipFile) -> Any:
    match node["__loader__"]:
        case "JsonNode":
            return json.loads(node["content"])
        case "DictNode":
            return {name: _value(child, file) for name, child in node["content"].items()}
        case "NdArrayNode":
            return np.load(io.BytesIO(file.read(node["file"])), allow_pickle=False)
    held = _attributes(node, REGRESSOR)
    predictors = [_attributes(tree, TREE) for each in held["_predictors"]["content"] for tree in each["content"]]
    baseline = _value(held["_baseline_prediction"], file)
    return Trees.of(baseline.item(), [_value(predictor["nodes"], file) for predictor in predictors])


def _attributes(node: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return the nodes of an object's attributes; the object must be of that kind."""
    found = f"{node['__module__']}.{node['__class__']}"
    if found != kind:
        raise ForeignTypeError(found)
    return dict(node["content"]["content"])
