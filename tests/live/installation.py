from __future__ import annotations

from dataclasses import dataclass

from tests.live.mljobs import MLJobs
from tests.live.operators import OperatorProcess


@dataclass(frozen=True)
class Installation:
    """An operator, and the MLJobs of the only namespace that this operator watches."""

    operator: OperatorProcess
    jobs: MLJobs

    def run_prefix(self, name: str) -> str:
        return f"{self.operator.prefix}.{self.jobs.namespace}.{name}."
