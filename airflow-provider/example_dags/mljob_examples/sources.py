"""Divides the rows of scikit-learn's datasets into known rows and unseen rows. Known rows are for
training models and for generating datasets. Unseen rows are for predictions.

The division is always the same, so no model is trained on unseen rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Source = Literal["digits", "breast_cancer", "wine"]

UNSEEN_EVERY = 5
"""Every fifth row of a source is an unseen row."""

NOISE = 0.05
"""Noise of an augmented row, as a share of each column's standard deviation."""


@dataclass(frozen=True)
class Rows:
    """Rows of one of scikit-learn's datasets, as arrays."""

    data: Any
    """Array of shape (rows, features). A digit's 64 features are its pixels, from 0 (paper) to 16
    (ink).
    """
    target: Any
    """Array of shape (rows,): the label of each row."""
    origin: Any
    """Array of shape (rows,): the index of each row in the source."""
    names: list[str]
    """The names of the features."""


def known(source: Source = "digits") -> Rows:
    """Return the rows for training models and for generating datasets."""
    return _rows(source, is_unseen=False)


def unseen(source: Source = "digits") -> Rows:
    """Return the rows that are for predictions."""
    return _rows(source, is_unseen=True)


def new_images(seed: int, number: int) -> tuple[Any, Any]:
    """Make images of handwritten digits from unseen rows, with random moves and noise.

    Args:
        seed: The same seed gives the same images.
        number: The number of images.

    Returns:
        The pixels, of shape (number, 64), and the true digits, of shape (number,). A pixel is about
        0 for paper and about 16 for ink.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    rows, spread = unseen(), known().data.std(axis=0)
    picked = random.integers(len(rows.data), size=number)
    noise = random.normal(size=(number, len(spread))) * spread * NOISE
    return moved(rows.data[picked], random) + noise, rows.target[picked]


def moved(images: Any, random: Any) -> Any:
    """Return a copy of each image, moved at random: by at most one pixel horizontally, and by at
    most one pixel vertically.

    Args:
        images: Array of shape (number, 64): each image has 8 rows with 8 pixels.
        random: A ``numpy.random.Generator``.
    """
    import numpy as np
    from scipy.ndimage import shift

    moves = random.uniform(-1, 1, size=(len(images), 2))
    squares = images.reshape(-1, 8, 8)
    return np.stack([shift(image, move, order=1) for image, move in zip(squares, moves, strict=True)]).reshape(-1, 64)


def _rows(source: Source, *, is_unseen: bool) -> Rows:
    import numpy as np
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{source}")()
    origin = np.arange(len(bunch.data))
    origin = origin[(origin % UNSEEN_EVERY == 0) == is_unseen]
    names = [str(name).replace(" ", "_") for name in bunch.feature_names]
    return Rows(bunch.data[origin], bunch.target[origin], origin, names)
