"""The inputs from which :mod:`.state` computes the state of an MLJob."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime, timedelta

from ...airflow_instance.catalog import AirflowCatalog
from ...frozen import frozen
from ...run.observed_run import ObservedRun
from ...run.run_key import RunKey
from ..identity import dag_run_id, pin
from ..resource.job import Job
from ..run_count import RunCount
from ..transient_state import TransientState
from ..upstream import Upstream


@frozen
class Inputs:
    """The inputs from which the state of one MLJob is computed at one time.

    Attributes:
        job: The MLJob.
        observed_run: What the operator knows of the newest attempt's run.
        transient: What this process has tried for the newest attempt, and what failed.
        now: The time at which the state is computed.
        prefix: The prefix of dag run ids.
        cancel_fallback: How long the operator waits until a run of the cancellation DAG executes
            its task. This task cancels the MLJob's run. After this time, the operator cancels the
            MLJob's run through Airflow's REST API.
        catalog: The Airflows that the operator knows, and what this MLJob may do with them.
        absence_withheld: Whether the operator ignores Airflow's answer that the run does not exist.
            If true, many runs in the same Airflow are missing, or the operator has not checked yet
            whether many runs are missing.
        upstreams: Facts about the MLJobs in ``spec.confFrom``, and about the MLJobs for which these
            MLJobs wait in turn. The keys are the names of the MLJobs. The value is None if the
            MLJob does not exist. But if the operator knew of the MLJob's success before the MLJob
            was deleted, the value is an Upstream in which ``deleted`` is true. An MLJob that was
            not read yet has no entry.
        upstreams_known_at: The earliest of the times at which the MLJobs in ``spec.confFrom`` were
            last read or observed. None if the operator has no information about these MLJobs yet.
    """

    job: Job
    observed_run: ObservedRun
    transient: TransientState
    now: datetime
    prefix: str = "mljob"
    cancel_fallback: timedelta = timedelta(seconds=20)
    catalog: AirflowCatalog = field(default_factory=AirflowCatalog)
    absence_withheld: bool = False
    upstreams: Mapping[str, Upstream | None] = field(default_factory=dict)
    upstreams_known_at: datetime | None = None

    @property
    def target(self) -> str:
        """The name of the Airflow for the next run."""
        reference = self.job.spec.airflow_ref
        return reference.name if reference is not None else self.catalog.default

    @property
    def first_run(self) -> RunKey:
        """The key of the first run of the MLJob's current spec. Airflow may have this run or not."""
        run_id = dag_run_id(self.prefix, self.job.namespace, self.job.name, pin(self.job))
        return RunKey(self.target, self.job.spec.dag_id, str(run_id))

    @property
    def run_count(self) -> RunCount | None:
        """The runs of the MLJob's current spec that the Airflow for the next run has (runPolicy
        OncePerSpec). None until the operator has begun to look for these runs.
        """
        count = self.transient.run_count
        return count if count is not None and count.first == self.first_run else None
