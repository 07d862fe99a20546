"""How the runs of an MLJob's backfill are told from others: by a key of their conf.

Airflow gives a backfill its id, and each of its runs one of its own, so neither can name the MLJob as a run id of ours does. But every run of a
backfill has the backfill's conf, one that was there before and is run again included. The marker in it holds the id that a
run of the MLJob would have, and the attempt that the run was made, or made again, by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONF_KEY = "mljob"
"""The key of the conf."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Whose a backfill or a run of one is.

    Attributes:
        run_id: ``status.dagRunId`` of the MLJob.
        attempt: The attempt's number; attempts that run again what failed share the id.
    """

    run_id: str
    attempt: int

    def as_conf(self) -> dict[str, Any]:
        """What a conf has to contain."""
        return {CONF_KEY: {"id": self.run_id, "attempt": self.attempt}}

    @classmethod
    def read(cls, conf: Mapping[str, Any] | None) -> Marker | None:
        """The marker in a conf; None in everybody else's."""
        match (conf or {}).get(CONF_KEY):
            case {"id": str() as run_id, "attempt": int() as attempt}:
                return cls(run_id, attempt)
        return None
