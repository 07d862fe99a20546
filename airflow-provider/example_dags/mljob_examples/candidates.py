"""Makes the models that the DAG ``select_model`` compares, and the folds of their cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Candidate = Literal["logistic_regression", "nearest_neighbours", "random_forest", "neural_network"]


def model_of(name: Candidate, recipe: Any, seed: int) -> Any:
    """Make an unfitted model that predicts labels from a dataset's inputs.

    Args:
        name: The kind of model.
        recipe: The unfitted transformer that adds features
            (:func:`mljob_examples.features.recipe`). The model contains a copy of the transformer.
        seed: The same seed gives the same model.
    """
    from sklearn.base import clone
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = {
        "logistic_regression": LogisticRegression(C=0.1, max_iter=1000, random_state=seed),
        "nearest_neighbours": KNeighborsClassifier(5, weights="distance"),
        "random_forest": RandomForestClassifier(50, random_state=seed),
        "neural_network": MLPClassifier((128,), early_stopping=True, random_state=seed),
    }[name]
    return make_pipeline(clone(recipe), StandardScaler(), classifier)


def folds(labels: Any, origins: Any, number: int, seed: int) -> Iterator[tuple[Any, Any]]:
    """Yield the folds of a cross-validation.

    Rows with the same origin are nearly equal, and are in the same fold. Each label has about the
    same share of the rows in each fold.

    Args:
        labels: Array of shape (rows,).
        origins: Array of shape (rows,): the index of each row's original in scikit-learn's dataset.
        number: The number of folds, at least 2.
        seed: The same seed gives the same folds.

    Yields:
        For each fold, the indices of the training rows, and the indices of the test rows.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    yield from StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(labels, labels, origins)
