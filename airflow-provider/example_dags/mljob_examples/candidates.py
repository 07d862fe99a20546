"""Candidates: the kinds of model that a training compares, and the folds that it compares them on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Candidate = Literal["logistic_regression", "nearest_neighbours", "random_forest", "neural_network"]


def model_of(name: Candidate, recipe: Any, seed: int) -> Any:
    """A model, not fitted yet: from a dataset's inputs to probabilities of its labels.

    Args:
        name: Which kind.
        recipe: What makes features of inputs, see :func:`mljob_examples.features.recipe`. It is fitted with the model, on the same rows.
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
    """Divide rows into ``number`` parts, and give for each the indices of all other rows and its own: what to learn from, and what to test on.

    Rows of one origin stay together, and each part has its share of every label. A grown dataset holds its source many times over; divided
    row by row, a model would be tested on what it has learned.

    Args:
        labels: Array of shape (rows,).
        origins: Array of shape (rows,): which rows belong together.
        number: At least 2.
        seed: The same seed gives the same parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    yield from StratifiedGroupKFold(number, shuffle=True, random_state=seed).split(labels, labels, origins)
