"""The metric labels of an MLJob. The name of the MLJob is not among the labels, so that the number
of time series stays small.
"""

from __future__ import annotations

from mljob_contract.mljob import Phase

from ...frozen import frozen
from ...run.run_key import SETTINGS_AIRFLOW
from .job import Job


@frozen
class JobLabels:
    """The metric labels of one MLJob.

    Attributes:
        namespace: The namespace of the MLJob.
        type: The kind of work, as in ``spec.type``.
        phase: The phase in the status, or Pending if the status has no phase.
        reason: The reason in the status, or an empty text if the status has no reason.
        airflow: The name of the AirflowInstance in ``status.airflowInstance``. Before the first
            attempt, the name in ``spec.airflowRef`` comes first. An empty text if there is no such
            name. The Airflow of the operator's settings has no such name.
    """

    namespace: str
    type: str
    phase: str
    reason: str
    airflow: str

    @classmethod
    def of(cls, job: Job) -> JobLabels:
        """Return the metric labels of an MLJob."""
        status, ref = job.status, job.spec.airflow_ref
        named = status.airflow_instance if status.attempts or ref is None else ref.name
        return cls(
            namespace=job.namespace,
            type=str(job.spec.type),
            phase=str(status.phase or Phase.PENDING),
            reason=status.reason or "",
            airflow=named or SETTINGS_AIRFLOW,
        )
