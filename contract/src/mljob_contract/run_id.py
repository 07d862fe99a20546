"""The id of an MLJob's dag run: ``<prefix>.<namespace>.<name>.<digest>-<number of the run>``. The
dag runs of a backfill have other ids, and have this id in their conf.

The id links an MLJob and its run in both directions. The operator computes the id before it
triggers the run, so that Airflow rejects a repeated trigger as a duplicate instead of starting a
second run. The operator and the provider read the namespace and the name of the MLJob from the run
id, for example in an event or a log line. So they need no table of the runs and their MLJobs.

Airflow allows ids of at most 250 characters, by default each of ``[A-Za-z0-9_.~:+-]`` (option
``[scheduler] allowed_run_id_pattern``). An id always fits, because its parts have limits: prefix 16
characters, namespace 63 (an RFC 1123 label, which has no dots), name 140 (a rule of the CRD),
digest 10, number of the run 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 250
"""The longest dag run id that Airflow allows, in characters."""
MAX_PREFIX_LENGTH = 16
"""The longest prefix of a dag run id, in characters."""
MAX_NAME_LENGTH = 140
"""The longest name of an MLJob, in characters."""
DIGEST_LENGTH = 10
"""The length of the digest in a dag run id, in characters."""

_PATTERN = re.compile(
    r"(?P<prefix>[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?)"
    r"\.(?P<namespace>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)"
    r"\.(?P<name>[a-z0-9]([a-z0-9.-]{0,138}[a-z0-9])?)"
    rf"\.(?P<digest>[a-z2-7]{{{DIGEST_LENGTH}}})"
    r"-(?P<number>[1-9][0-9]{0,5})"
)


@dataclass(frozen=True, slots=True)
class RunId:
    """The id of an MLJob's dag run, split into its parts.

    Attributes:
        prefix: A label of at most 16 lower-case letters, digits and hyphens. The prefix
            distinguishes clusters that share one Airflow.
        namespace: The namespace of the MLJob.
        name: The name of the MLJob, which may contain dots.
        digest: Ten characters of base32: a hash of the MLJob's uid, or with runPolicy OncePerSpec a
            hash of the MLJob's namespace, name and spec (``mljob_operator.core.mljob.identity``).
        number: The number of the run, from 1. Runs with the same digest have different numbers. An
            attempt that repeats only the failed tasks has no new run, and so no new number.
    """

    prefix: str
    namespace: str
    name: str
    digest: str
    number: int

    def __str__(self) -> str:
        return f"{self.prefix}.{self.namespace}.{self.name}.{self.digest}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> RunId | None:
        """Parse a dag run id. Return None for an id without the form of an MLJob's run id, such as
        the id that Airflow gives to a scheduled or manual run.
        """
        if len(text) > MAX_LENGTH or not (match := _PATTERN.fullmatch(text)):
            return None
        return cls(match["prefix"], match["namespace"], match["name"], match["digest"], int(match["number"]))
