"""Evaluate stored trees by numpy alone: importing scikit-learn, which grew them, takes longer than an answer may."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from taxi_assets.models.places import Floats, Ints


@dataclass(frozen=True)
class Trees:
    """The trees of a HistGradientBoostingRegressor whose features are numbers and whose link is the identity.

    Nodes are numbered through all trees; a leaf is its own child.
    """

    baseline: float
    roots: Ints
    left: Ints
    right: Ints
    nodes: npt.NDArray[np.void]
    depth: int

    @classmethod
    def of(cls, baseline: float, trees: Sequence[npt.NDArray[np.void]]) -> "Trees":
        """Return the trees of scikit-learn's arrays of nodes, one of each tree.

        Raises:
            ValueError: A feature is a category.
        """
        nodes = np.concatenate(trees)
        if nodes["is_categorical"].any():
            raise ValueError("a feature is a category")
        sizes = np.array([len(tree) for tree in trees])
        roots = np.cumsum(sizes) - sizes
        first, own, leaf = np.repeat(roots, sizes), np.arange(len(nodes)), nodes["is_leaf"].astype(bool)
        left, right = (np.where(leaf, own, first + nodes[side]) for side in ("left", "right"))
        return cls(baseline, roots, left, right, nodes, int(nodes["depth"].max()))

    def predict(self, features: Floats) -> Floats:
        """Return what scikit-learn's `predict` does, to the last bit, for one row of features each."""
        rows = np.arange(len(features))[:, None]
        at = np.tile(self.roots, (len(features), 1))
        for _ in range(self.depth):
            node = self.nodes[at]
            value = features[rows, node["feature_idx"]]
            goes_left = np.where(np.isnan(value), node["missing_go_to_left"], value <= node["num_threshold"])
            at = np.where(goes_left, self.left[at], self.right[at])
        # Added one after the other, as scikit-learn does: `sum` would round differently.
        terms = np.column_stack([np.full(len(features), self.baseline), self.nodes["value"][at]])
        return np.asarray(np.cumsum(terms, axis=1)[:, -1])
