"""Determines the current states of MLJobs, and decides which MLJobs may submit a run (admission).

One class does both, because the state of an MLJob depends on the admission queue, and the place of
the MLJob in the queue depends on the state.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ...core.airflow_instance.admission import AdmissionQueue
from ...core.mljob import attempts
from ...core.mljob.airflow_use import active_reservation, reservation
from ...core.mljob.classification.inputs import Inputs
from ...core.mljob.classification.state import State, classify
from ...core.mljob.resource.job import Job
from ...core.mljob.tracked import TrackedJob
from ...core.run.run_key import Key
from ...core.run.vanishing import MissingRuns, vanished_message
from ...ports import Airflows, Clock
from .upstreams import Upstreams


class Classifier:
    """Determines the current states of MLJobs, and decides which MLJobs may submit a run
    (admission).

    Args:
        airflows: All Airflows, with their access rules and limits.
        clock: Returns the current time.
        admission: For each Airflow, the MLJobs that have an active run in the Airflow, and the
            MLJobs that wait for admission to the Airflow.
        missing_runs: The runs that the operator follows in each Airflow, and which of these runs
            are missing there.
        upstreams: The MLJobs whose outputs other MLJobs wait for.
        prefix: The prefix of dag run ids.
        cancel_fallback: How long the operator waits for the task of a triggered cancellation DAG to
            start. After this time, the operator cancels the run through Airflow's REST API.
    """

    def __init__(
        self,
        airflows: Airflows,
        clock: Clock,
        *,
        admission: AdmissionQueue,
        missing_runs: MissingRuns,
        upstreams: Upstreams,
        prefix: str,
        cancel_fallback: timedelta,
    ) -> None:
        self._airflows = airflows
        self._clock = clock
        self._admission = admission
        self._missing_runs = missing_runs
        self._upstreams = upstreams
        self._prefix = prefix
        self._cancel_fallback = cancel_fallback
        self._admitted: list[Key] = []

    def state(self, tracked: TrackedJob) -> State:
        """Return the state of an MLJob at the current time. This method admits no MLJob."""
        return classify(self._inputs(tracked))

    def admit(self, tracked: TrackedJob) -> State:
        """Return the current state of the MLJob, after these steps:

        - If the MLJob can start a run, or only a limit on active runs prevents the start, add the
          MLJob to the admission queue.
        - If the MLJob waits in the queue, admit MLJobs to its Airflow in the order of the queue, as
          far as the limits allow. The MLJob itself is admitted only if its turn has come.
        """
        state = self.state(tracked)
        if self._follow(state):
            state = self.state(tracked)
        key, reserved = state.job.key, reservation(state)
        self._admission.reserve(key, reserved, _created(state.job))
        if reserved is None or self._admission.is_admitted(key, reserved.airflow):
            return state
        self._admit(reserved.airflow)
        # This MLJob need not be woken, because it is taking a step.
        self._admitted = [other for other in self._admitted if other != key]
        return self.state(tracked)

    def reserve(self, state: State) -> None:
        """Update the MLJob's entry in the admission queue, and record whether the MLJob's run is
        missing in Airflow.
        """
        self._follow(state)
        self._admission.reserve(state.job.key, reservation(state), _created(state.job))

    def reserve_run(self, state: State) -> None:
        """Count an MLJob's run as active in the admission queue from now on, because the operator is
        about to start the run.
        """
        self._admission.reserve(state.job.key, active_reservation(state), _created(state.job))

    def admitted(self) -> list[Key]:
        """Admit waiting MLJobs as far as the limits allow. Return these MLJobs, and the MLJobs that
        :meth:`admit` has admitted since the previous call of this method. The caller has to wake
        the workers of all these MLJobs. If :meth:`admit` was called for an MLJob and has admitted
        this same MLJob, the MLJob is left out, because its worker is awake.
        """
        for airflow in self._admission.airflows_with_waiting():
            self._admit(airflow)
        admitted, self._admitted = self._admitted, []
        return admitted

    def forget(self, key: Key) -> None:
        """Forget an MLJob that was deleted, or for which the operator has nothing more to do."""
        self._upstreams.follow(key, ())
        self._admission.release(key)
        self._missing_runs.forget(key)

    def _inputs(self, tracked: TrackedJob) -> Inputs:
        job = tracked.job
        upstreams, upstreams_known_at = self._upstreams.of(job)
        inputs = Inputs(
            job,
            tracked.observed_run,
            tracked.transient,
            self._clock(),
            prefix=self._prefix,
            cancel_fallback=self._cancel_fallback,
            catalog=self._airflows.catalog(job.namespace),
            absence_withheld=self._missing_runs.withholds_absence(job.key),
            upstreams=upstreams,
            upstreams_known_at=upstreams_known_at,
        )
        attempt = tracked.transient.attempt or attempts.current(job.status)
        dag_id = attempt.dag_id if attempt is not None else job.spec.dag_id
        airflows = {attempt.airflow, inputs.target} if attempt is not None else {inputs.target}
        vanished = {
            airflow: vanished_message(airflow) for airflow in airflows if self._missing_runs.have_vanished(airflow)
        }
        full = [airflow for airflow in airflows if self._is_full(inputs, airflow, dag_id)]
        if not vanished and not full:
            return inputs
        not_ready = {**inputs.catalog.not_ready, **vanished}
        return replace(inputs, catalog=replace(inputs.catalog, not_ready=not_ready, full=full))

    def _is_full(self, inputs: Inputs, airflow: str, dag_id: str) -> bool:
        key, catalog = inputs.job.key, inputs.catalog
        if self._admission.is_admitted(key, airflow):
            return False
        return self._admission.has_to_wait(key, airflow, catalog.rule(airflow, dag_id), catalog.limits(airflow))

    def _follow(self, state: State) -> bool:
        """Record whether the MLJob's run is missing in Airflow. Return True if ``state`` may be out
        of date afterwards, because the state depends on the missing runs.
        """
        key = state.job.key
        if not state.current.active or state.observed_run.over:
            return self._missing_runs.forget(key)
        return self._missing_runs.follow(
            key,
            state.run.airflow,
            missed_at=state.observed_run.missed_at,
            answered_at=state.transient.looked_up_at,
            submitted_at=state.job.status.submit_time,
        )

    def _admit(self, airflow: str) -> None:
        self._admitted += self._admission.admit(airflow, self._airflows.limits(airflow))


def _created(job: Job) -> datetime:
    return job.created_at or datetime.min.replace(tzinfo=UTC)
