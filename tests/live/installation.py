"""An operator that a test has started. The operator has a namespace of its own. The operators of
several tests use the same stack: the same Kubernetes API, Kafka and Airflow.
"""

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
        """Return the beginning of the run ids of the MLJob with this name."""
        return f"{self.operator.prefix}.{self.jobs.namespace}.{name}."
