"""The properties of an MLJob by which metrics count MLJobs. No property identifies a
single MLJob.
"""

from __future__ import annotations

from mljob_contract.mljob import Phase

from ...frozen import frozen
from ...run.run_key import SETTINGS_AIRFLOW
from .job import Job


@frozen
class JobLabels:
    """The values of the labels with which metrics count an MLJob.

    Attributes:
        namespace: The namespace.
        type: The kind of work, as in ``spec.type``.
        phase: The phase. An MLJob without a status is Pending.
        reason: The reason of the phase, or an empty text without a status.
        airflow: The AirflowInstance of the newest attempt, or before the first attempt the
            AirflowInstance that ``spec.airflowRef`` names. ``SETTINGS_AIRFLOW`` if there is
            neither.
    """

    namespace: str
    type: str
    phase: str
    reason: str
    airflow: str

    @classmethod
    def of(cls, job: Job) -> JobLabels:
        """Return the labels with which metrics count a version of an MLJob."""
        status, ref = job.status, job.spec.airflow_ref
        named = status.airflow_instance if status.attempts or ref is None else ref.name
        return cls(
            namespace=job.namespace,
            type=str(job.spec.type),
            phase=str(status.phase or Phase.PENDING),
            reason=status.reason or "",
            airflow=named or SETTINGS_AIRFLOW,
        )
