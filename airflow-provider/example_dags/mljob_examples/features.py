"""Features: what a dataset's table has beside its inputs, and how to compute the same for any other row.

A table has its inputs first, as the source has them, then :data:`LABEL` and :data:`ORIGIN`; enrichment adds columns behind those. Its card says how
many columns are inputs, and the recipe of what was added. A model takes inputs alone and holds the recipe, fitted: whoever
asks it need not enrich anything first, and nobody can enrich in another way than the training did.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Family = Literal["components", "clusters", "statistics"]

LABEL = "label"
ORIGIN = "origin"
"""Which row of the source a row was made from. Rows of one origin are all but the same: never test a model on one of those that it has learned."""


def family(name: Family, *, components: int, clusters: int) -> Any:
    """The transformer, not fitted yet, that computes a family of features from inputs.

    Args:
        name: Which family.
        components: Principal components of ``components``; at most as many as there are inputs.
        clusters: Clusters that ``clusters`` has distances to.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if name == "components":
        # Exact, and quick with many rows: by chance, what a model computes would not be what the dataset has.
        return make_pipeline(StandardScaler(), PCA(components, svd_solver="covariance_eigh"))
    if name == "clusters":
        return MiniBatchKMeans(clusters, n_init=3, random_state=0)
    return FunctionTransformer(statistics)


def columns(name: Family, number: int) -> list[str]:
    """What the ``number`` columns of a family are called."""
    if name == "statistics":
        return ["mean", "spread", "maximum", "energy"]
    prefix = {"components": "component", "clusters": "distance"}[name]
    return [f"{prefix}_{index}" for index in range(number)]


def statistics(values: Any) -> Any:
    """Of each row of an array of shape (rows, features): mean, standard deviation, maximum and sum of squares, as (rows, 4)."""
    import numpy as np

    return np.stack(
        [values.mean(axis=1), values.std(axis=1), values.max(axis=1), np.square(values).sum(axis=1)], axis=1
    )


def recipe(families: Sequence[Family] = (), *, components: int = 1, clusters: int = 2) -> Any:
    """The transformer, not fitted yet, from inputs to inputs and the families' features beside them; as a card has it in ``recipe``."""
    from sklearn.pipeline import FeatureUnion

    added = [(name, family(name, components=components, clusters=clusters)) for name in families]
    return FeatureUnion([("inputs", "passthrough"), *added])
