"""The dag run id: ``<prefix>.<namespace>.<name>.<digest>-<attempt>``.

The id is the only link between an MLJob and its run, and it works both ways: the operator computes it before its first
call to Airflow (so triggering twice is triggering once), and whoever sees a run, an event or a log line reads the MLJob
back from it without an index.

Airflow allows 250 characters of ``[A-Za-z0-9_.~:+-]`` (``airflow.models.dagrun``). The parts are bounded so that the sum always
fits: prefix 16, namespace 63 (an RFC 1123 label, hence without dots), name 140 (bounded in the CRD), digest 10, attempt 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 250
MAX_PREFIX_LENGTH = 16
MAX_NAME_LENGTH = 140
DIGEST_LENGTH = 10

_PATTERN = re.compile(
    r"(?P<prefix>[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?)"
    r"\.(?P<namespace>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)"
    r"\.(?P<name>[a-z0-9]([a-z0-9.-]{0,138}[a-z0-9])?)"
    rf"\.(?P<digest>[a-z2-7]{{{DIGEST_LENGTH}}})"
    r"-(?P<attempt>[1-9][0-9]{0,5})"
)


@dataclass(frozen=True, slots=True)
class RunId:
    """A dag run id in its parts.

    Attributes:
        prefix: Tells clusters apart that share one Airflow; a lower-case label of at most 16 characters, without dots.
        namespace: The MLJob's namespace.
        name: The MLJob's name; may contain dots.
        digest: Ten characters of base32 that pin the object (its uid) or its spec; see ``mljob_operator.core.mljob.identity``.
        attempt: 1 for the first run of the MLJob.
    """

    prefix: str
    namespace: str
    name: str
    digest: str
    attempt: int

    def __str__(self) -> str:
        return f"{self.prefix}.{self.namespace}.{self.name}.{self.digest}-{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> RunId | None:
        """Read an id back, or ``None`` when ``text`` is not one of ours (a scheduled run, a manual one, ...)."""
        if len(text) > MAX_LENGTH or not (match := _PATTERN.fullmatch(text)):
            return None
        return cls(match["prefix"], match["namespace"], match["name"], match["digest"], int(match["attempt"]))
