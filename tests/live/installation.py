"""An operator and the namespace that it looks after: several of them share one stack and don't notice each other."""

from __future__ import annotations

from dataclasses import dataclass

from tests.live.mljobs import MLJobs
from tests.live.operators import OperatorProcess


@dataclass(frozen=True)
class Installation:
    """One operator, and the MLJobs of the one namespace that it watches."""

    operator: OperatorProcess
    jobs: MLJobs

    def run_prefix(self, name: str) -> str:
        """What the ids of an MLJob's runs begin with."""
        return f"{self.operator.prefix}.{self.jobs.namespace}.{name}."
