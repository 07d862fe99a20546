"""Tracks whether the Kubernetes API accepts the operator's credentials.

The kubelet regularly writes a new token of the ServiceAccount, so a request that was refused with
401 usually succeeds later. But a token may be revoked for good, for example because the
ServiceAccount was deleted and created again. ``/livez`` fails when the Kubernetes API has answered
every request of the last ``RESTART_AFTER`` seconds with 401. The kubelet then restarts the process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

RESTART_AFTER = 120.0
"""Seconds of refusals after which ``/livez`` fails, so that the kubelet restarts the operator. The
kubelet needs one or two minutes to renew a token in its file."""
LOGGED_AFTER = 5.0
"""Seconds of refusals after which the log says what to check. If the kubelet has renewed the token
in the file, the operator reads the new token within this time, so a renewal causes no such log
line.
"""


class Authentication:
    """Tracks whether the Kubernetes API accepts the operator's credentials.

    Args:
        advice: A sentence for the log, about what to check if the API refuses the credentials.
        clock: A monotonic clock, in seconds.
        restart_after: Overrides :data:`RESTART_AFTER`, for tests.
    """

    def __init__(
        self, advice: str, clock: Callable[[], float] = time.monotonic, *, restart_after: float = RESTART_AFTER
    ) -> None:
        self._advice = advice
        self._clock = clock
        self._restart_after = restart_after
        self._refused_since: float | None = None
        self._logged = False

    def answered(self, status: int) -> None:
        """Record the HTTP status of an answer of the Kubernetes API."""
        if status != 401:
            if self._logged:
                log.info("the Kubernetes API accepts the operator's credentials again")
            self._refused_since, self._logged = None, False
            return
        if self._refused_since is None:
            self._refused_since = self._clock()
        refused = self._clock() - self._refused_since
        if refused >= LOGGED_AFTER and not self._logged:
            self._logged = True
            log.error(
                "the Kubernetes API does not accept the operator's credentials: it has answered each request with 401 for %d s. %s. After %d s of refusals "
                "/livez answers 503, and the kubelet restarts the operator",
                round(refused),
                self._advice,
                round(self._restart_after),
            )

    @property
    def must_restart(self) -> bool:
        """Whether the Kubernetes API has refused the credentials for at least ``restart_after``
        seconds, so that the process has to restart.
        """
        return self._refused_since is not None and self._clock() - self._refused_since >= self._restart_after
