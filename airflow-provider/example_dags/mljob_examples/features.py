"""The features of an enriched dataset, and how to compute them for any other row.

The columns of a table are first the inputs, as in the source, then :data:`LABEL` and
:data:`ORIGIN`, then the features. The card of the dataset has the number of inputs, and the recipe
of the features. A model takes inputs only, because it contains the fitted recipe. So its callers
need not compute features, and can't compute them differently from the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

Family = Literal["components", "clusters", "statistics"]

LABEL = "label"
ORIGIN = "origin"
"""The row of the source from which a row was made. Rows of one origin are nearly equal: don't test
a model on rows whose origin it was trained on."""


def family(name: Family, *, components: int, clusters: int) -> Any:
    """The unfitted transformer that computes a family of features from inputs.

    Args:
        name: The family.
        components: The number of principal components in ``components``, at most the number of
            inputs.
        clusters: The number of clusters in ``clusters``, whose features are the distances to them.
    """
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if name == "components":
        # An exact solver that is fast with many rows. With a randomised one, a model's features
        # would differ from the dataset's.
        return make_pipeline(StandardScaler(), PCA(components, svd_solver="covariance_eigh"))
    if name == "clusters":
        return MiniBatchKMeans(clusters, n_init=3, random_state=0)
    return FunctionTransformer(statistics)


def columns(name: Family, number: int) -> list[str]:
    """The names of the ``number`` columns of a family."""
    if name == "statistics":
        return ["mean", "spread", "maximum", "energy"]
    prefix = {"components": "component", "clusters": "distance"}[name]
    return [f"{prefix}_{index}" for index in range(number)]


def statistics(values: Any) -> Any:
    """Mean, standard deviation, maximum and sum of squares of each row of an array of shape (rows,
    features), as (rows, 4).
    """
    import numpy as np

    return np.stack(
        [values.mean(axis=1), values.std(axis=1), values.max(axis=1), np.square(values).sum(axis=1)], axis=1
    )


def recipe(families: Sequence[Family] = (), *, components: int = 1, clusters: int = 2) -> Any:
    """The unfitted transformer that adds the families' features to the inputs. A card has its
    arguments in ``recipe``.
    """
    from sklearn.pipeline import FeatureUnion

    added = [(name, family(name, components=components, clusters=clusters)) for name in families]
    return FeatureUnion([("inputs", "passthrough"), *added])
