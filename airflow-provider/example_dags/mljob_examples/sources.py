"""The rows that scikit-learn ships, divided once and for all: those that datasets and models are made of, and those that come later.

A model that is asked about rows it has learned from looks better than it is. So datasets grow from the known rows alone, and predictions
are asked for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["digits", "breast_cancer", "wine"]

UNSEEN_EVERY = 5
"""Every fifth row comes later."""


NOISE = 0.05
"""Of a row that was made from another one: as a share of each column's standard deviation."""


@dataclass(frozen=True)
class Rows:
    """Some rows of a source."""

    data: Any
    """Array of shape (rows, features). A digit's 64 features are its pixels, from 0 (paper) to 16 (ink)."""
    target: Any
    """Array of shape (rows,): the label of each."""
    origin: Any
    """Array of shape (rows,): where each is in the source."""
    names: list[str]
    """The features' names."""


def known(source: Source = "digits") -> Rows:
    """What datasets and models are made of."""
    return _rows(source, later=False)


def unseen(source: Source = "digits") -> Rows:
    """What no dataset holds: a day's new images."""
    return _rows(source, later=True)


def new_images(seed: int, number: int) -> tuple[Any, Any]:
    """Handwritten digits as a day brings them: unseen ones, each moved and with noise as a dataset's rows are by default.

    Args:
        seed: The same seed draws the same images.
        number: How many.

    Returns:
        Pixels from 0 (paper) to 16 (ink), of shape (number, 64), and the true digits, of shape (number,).
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows, spread = unseen(), known().data.std(axis=0)
    picked = random.integers(len(rows.data), size=number)
    noise = random.normal(size=(number, len(spread))) * spread * NOISE
    return moved(rows.data[picked], random) + noise, rows.target[picked]


def moved(images: Any, random: Any) -> Any:
    """Each image moved by up to a pixel in either direction.

    Args:
        images: Array of shape (images, 64), of 8 rows with 8 pixels each.
        random: A ``numpy.random.Generator``.
    """
    import numpy as np
    from scipy.ndimage import shift

    moves = random.uniform(-1, 1, size=(len(images), 2))
    squares = images.reshape(-1, 8, 8)
    return np.stack([shift(image, move, order=1) for image, move in zip(squares, moves, strict=True)]).reshape(-1, 64)


def _rows(source: Source, *, later: bool) -> Rows:
    import numpy as np
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{source}")()
    origin = np.arange(len(bunch.data))
    origin = origin[(origin % UNSEEN_EVERY == 0) == later]
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    return Rows(bunch.data[origin], bunch.target[origin], origin, names)
