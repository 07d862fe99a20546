"""The marker in the conf of a backfill's runs, which links the runs to an MLJob.

If an MLJob is a single run, the operator chooses the dag run id, which contains the MLJob's name
(:mod:`.run_id`). But Airflow chooses the id of a backfill and the ids of the backfill's runs, and
these ids don't contain the MLJob's name. So the operator adds the marker to the backfill's conf, as
one key. Airflow copies this conf to each run of the backfill, even to a run that existed before and
that the backfill repeats.

The marker contains two values: the dag run id that the MLJob would have as a single run, and the
number of the MLJob's attempt that created or repeated the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .resource import MAX_COUNT

CONF_KEY = "mljob"
"""The key of the marker in the conf."""


@dataclass(frozen=True, slots=True)
class Marker:
    """The MLJob and the attempt to which a backfill, or one run of a backfill, belongs.

    Attributes:
        run_id: The value of ``status.dagRunId`` of the MLJob. If an attempt repeats only the failed
            runs of the previous attempt, both attempts have the same value.
        attempt: The number of the attempt, from 1.
    """

    run_id: str
    attempt: int

    def as_conf(self) -> dict[str, Any]:
        """Return this marker as a part of a conf: a dict with the single key ``CONF_KEY``."""
        return {CONF_KEY: {"id": self.run_id, "attempt": self.attempt}}

    @classmethod
    def read(cls, conf: Mapping[str, Any] | None) -> Marker | None:
        """Return the marker in a conf, or None if the conf has no valid marker. A marker doesn't
        prove that the operator created the run: everybody who may trigger a run can write a marker
        into its conf.
        """
        match (conf or {}).get(CONF_KEY):
            # JSON's true is an int in Python.
            case {"id": str() as run_id, "attempt": int() as attempt} if type(attempt) is int:
                return cls(run_id, attempt) if 1 <= attempt <= MAX_COUNT else None
        return None
