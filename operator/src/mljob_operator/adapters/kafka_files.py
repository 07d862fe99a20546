"""Detects changed certificates on disk. librdkafka reads certificates only when it creates a
consumer, so a change needs a new consumer.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024
"""The maximum number of bytes of a file that are compared. A bundle of all public CAs has a quarter
of a MiB.
"""


class Files:
    """Detects that the content of files has changed.

    Args:
        paths: The paths of files and folders. A folder stands for the files in this folder, without
            subfolders.
        interval: The minimum time between two checks of the content, in seconds.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, paths: Sequence[str], *, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._paths = [Path(path) for path in paths]
        self._interval = interval
        self._clock = clock
        self._digest: str | None = None
        self._checked_at = clock()

    def remember(self) -> None:
        """Remember the current content of the files, for :meth:`changed`."""
        self._digest, self._checked_at = self._content(), self._clock()

    def changed(self) -> bool:
        """Return whether the current content differs from the remembered content. Then remember the
        current content.

        Return False without a check if the last check or the last call of :meth:`remember` was less
        than ``interval`` seconds ago. Also return False if a file can't be read, for example while
        the file is being replaced. The remembered content then stays.
        """
        if not self._paths or self._clock() - self._checked_at < self._interval:
            return False
        self._checked_at = self._clock()
        content = self._content()
        if content is None or content == self._digest:
            return False
        self._digest = content
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
