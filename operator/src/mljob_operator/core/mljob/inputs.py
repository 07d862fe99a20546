"""Everything that a decision and a status depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ..airflow_instance.catalog import AirflowCatalog
from ..run.observed_run import ObservedRun
from .job import Job
from .transient_state import TransientState


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of one round. A state is a function of its inputs and of nothing else.

    Attributes:
        job: The MLJob.
        observed_run: What is known of the newest attempt's run.
        transient: What this process has tried.
        now: The time of the round.
        prefix: The prefix of dag run ids.
        cancel_fallback: How long the cancellation DAG may take to begin before the operator cancels
            the run through Airflow's REST API.
        catalog: The Airflows, and what they mean for this MLJob.
        absence_withheld: Whether Airflow's answer that it has no such run does not count now,
            because too many runs are missing there.
    """

    job: Job
    observed_run: ObservedRun
    transient: TransientState
    now: datetime
    prefix: str = "mljob"
    cancel_fallback: timedelta = timedelta(seconds=20)
    catalog: AirflowCatalog = field(default_factory=AirflowCatalog)
    absence_withheld: bool = False

    @property
    def target(self) -> str:
        """The Airflow that the spec names, or else the default Airflow."""
        reference = self.job.spec.airflow_ref
        return reference.name if reference is not None else self.catalog.default
