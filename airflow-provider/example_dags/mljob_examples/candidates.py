"""Makes the candidate models that the DAG ``select_model`` compares, and the folds of the
cross-validation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Candidate = Literal["logistic_regression", "nearest_neighbours", "random_forest", "neural_network"]


def model_of(name: Candidate, recipe: Any, seed: int) -> Any:
    """Make an unfitted model that predicts labels from a dataset's inputs.

    Args:
        name: The kind of model.
        recipe: The transformer that adds features, see :func:`mljob_examples.features.recipe`. The
            transformer is part of the model, and is fitted on the training rows of the model.
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

    All rows with the same origin are in one fold, and every label has about the same share of the
    rows in each fold. A generated dataset has many variants of each row of scikit-learn's dataset,
    so with random folds a model would be tested on variants of rows that it was trained on.

    Args:
        labels: Array of shape (rows,).
        origins: Array of shape (rows,): for each row, the index of its original row in
            scikit-learn's dataset.
        number: The number of folds, at least 2.
        seed: The same seed gives the same folds.

    Yields:
        For each fold, the indices of the rows to train on, and the indices of the rows to test on.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    yield from StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(labels, labels, origins)
