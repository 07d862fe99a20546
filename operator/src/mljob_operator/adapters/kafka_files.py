"""Certificates on disk, and whether they are others than before: librdkafka reads them once, when a consumer is made."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024
"""Of a file that counts: a bundle of all public CAs is a quarter of a MiB."""


class Files:
    """Some files.

    Args:
        paths: Where they are; a folder counts with what is in it.
        every: Seconds between two looks.
        clock: Seconds that only grow.
    """

    def __init__(self, paths: Sequence[str], *, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = [Path(path) for path in paths]
        self._every = every
        self._clock = clock
        self._known: str | None = None
        self._looked_at = clock()

    def remember(self) -> None:
        """What is there now is what is used."""
        self._known, self._looked_at = self._content(), self._clock()

    def changed(self) -> bool:
        """Whether they are others than when last asked; what can't be read is on its way."""
        if not self._paths or self._clock() - self._looked_at < self._every:
            return False
        self._looked_at = self._clock()
        content = self._content()
        if content is None or content == self._known:
            return False
        self._known = content
        return True

    def _content(self) -> str | None:
        digest = hashlib.sha256()
        try:
            for path in self._paths:
                for file in sorted(filter(Path.is_file, path.iterdir())) if path.is_dir() else [path]:
                    with file.open("rb") as opened:
                        digest.update(f"{file}:".encode() + opened.read(MAX_BYTES))
        except OSError:
            return None
        return digest.hexdigest()
