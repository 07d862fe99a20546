"""Whether the Kubernetes API takes the operator's credentials.

A ServiceAccount's token is renewed in its file, and a refusal (401) in between is over at the next try. But a token may be revoked for good, as when the
ServiceAccount was deleted and made again: then every request is refused, and only another process, or another Pod, has a token that counts.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds of refusals after which the operator is not alive any more. The kubelet renews a token in its file within a minute or two."""
TOLD_AFTER = 5.0
"""Seconds of refusals after which the log says what to check; a renewed token is read sooner."""


class Authentication:
    """What becomes of the credentials.

    Args:
        advice: What to check where they are refused.
        clock: Gives seconds.
        patience: As :data:`PATIENCE`, for tests.
    """

    def __init__(self, advice: str, clock: Callable[[], float] = time.monotonic, *, patience: float = PATIENCE) -> None:
        self._advice = advice
        self._clock = clock
        self._patience = patience
        self._refused_since: float | None = None
        self._told = False

    def answered(self, status: int) -> None:
        """The Kubernetes API has answered a request."""
        if status != 401:
            if self._told:
                log.info("the Kubernetes API accepts the operator's credentials again")
            self._refused_since, self._told = None, False
            return
        if self._refused_since is None:
            self._refused_since = self._clock()
        refused = self._clock() - self._refused_since
        if refused >= TOLD_AFTER and not self._told:
            self._told = True
            log.error(
                "the Kubernetes API does not accept the operator's credentials: it has answered each request with 401 for %d s. %s. After %d s of that /livez "
                "answers 503, for the kubelet to restart the operator",
                round(refused),
                self._advice,
                round(self._patience),
            )

    @property
    def lost(self) -> bool:
        """Whether the credentials have been refused for so long that another process is needed."""
        return self._refused_since is not None and self._clock() - self._refused_since >= self._patience
