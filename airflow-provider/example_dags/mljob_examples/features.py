"""Computes the features that the DAG ``enrich_dataset`` adds to a dataset.

The resulting dataset has these columns, in this order:

- the inputs, which are the features of one of scikit-learn's datasets;
- :data:`LABEL` and :data:`ORIGIN`;
- the added features.

A model receives only the inputs of a row, and computes the added features itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Family = Literal["components", "clusters", "statistics"]

LABEL = "label"
ORIGIN = "origin"
"""The column with the index of the source's row from which a row was made. Rows with the same
origin are nearly equal. So a model must not be tested on rows with an origin that it was trained
on.
"""


def family(name: Family, *, components: int, clusters: int) -> Any:
    """Make an unfitted transformer that computes a family of features from inputs.

    Args:
        name: The family: ``components`` (principal components), ``clusters`` (the distances to the
            centres of clusters), or ``statistics`` (see :func:`statistics`).
        components: The number of principal components, at most the number of inputs.
        clusters: The number of clusters.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if name == "components":
        # This solver is exact, and fast with many rows. With a randomised solver, the features in a
        # model would differ from the features in the dataset.
        return make_pipeline(StandardScaler(), PCA(components, svd_solver="covariance_eigh"))
    if name == "clusters":
        return MiniBatchKMeans(clusters, n_init=3, random_state=0)
    return FunctionTransformer(statistics)


def columns(name: Family, number: int) -> list[str]:
    """Return the names of the columns that hold the features of a family (see :func:`family`).
    ``number`` is the number of columns. The family ``statistics`` always has four columns, and
    ignores ``number``.
    """
    if name == "statistics":
        return ["mean", "spread", "maximum", "energy"]
    prefix = {"components": "component", "clusters": "distance"}[name]
    return [f"{prefix}_{index}" for index in range(number)]


def statistics(values: Any) -> Any:
    """Return the mean, standard deviation, maximum and sum of squares of each row. ``values`` has
    the shape (rows, inputs), and the result has the shape (rows, 4).
    """
    import numpy as np

    return np.stack(
        [values.mean(axis=1), values.std(axis=1), values.max(axis=1), np.square(values).sum(axis=1)], axis=1
    )


def recipe(families: Sequence[Family] = (), *, components: int = 1, clusters: int = 2) -> Any:
    """Make an unfitted transformer that returns the inputs, followed by the features of each family
    (see :func:`family`). The DAG ``enrich_dataset`` stores the arguments of this function in the
    new dataset's ``card.json``, in the field ``recipe``.
    """
    from sklearn.pipeline import FeatureUnion

    added = [(name, family(name, components=components, clusters=clusters)) for name in families]
    return FeatureUnion([("inputs", "passthrough"), *added])
