"""The newest attempt of an MLJob, and how far the attempt has come."""

from __future__ import annotations

from mljob_contract.mljob import MLJobStatus

from ...frozen import frozen
from ...run.run_key import RunKey
from ...run.states import TERMINAL_PHASES
from .. import attempts
from ..attempts import Attempt
from .inputs import Inputs


@frozen
class CurrentAttempt:
    """The newest attempt of an MLJob, and how far the attempt has come.

    Attributes:
        attempt: The newest attempt, or None before the first attempt.
        status: The status that describes the attempt: the stored status, or the status to store
            next.
        recorded: Whether the stored status describes this attempt. Also True before the first
            attempt. The operator sends requests for an attempt to Airflow only if the attempt is
            recorded.
        finished: Whether the MLJob has ended, according to the stored status. False if the stored
            status describes an earlier attempt.
        open: True if the run of the attempt is in Airflow, may be in Airflow, or is about to be
            submitted. False if the attempt is over. Also False before the first attempt.
        submitted: Whether Airflow has or had a run of the attempt, as far as the operator knows.
        by_clearing: Whether the attempt continues the run of the previous attempt, because tasks of
            this run were cleared or are to be cleared.
        given_up: Whether the attempt has ended, and the operator knew of no run of the attempt when
            the attempt ended. The run may appear in Airflow later.
        run: The run of the attempt. Before the first attempt, the run that the first attempt would
            have.
    """

    attempt: Attempt | None
    status: MLJobStatus
    recorded: bool
    finished: bool
    open: bool
    submitted: bool
    by_clearing: bool
    given_up: bool
    run: RunKey

    @classmethod
    def of(cls, inputs: Inputs) -> CurrentAttempt:
        """Return the :class:`CurrentAttempt` of the MLJob in ``inputs``."""
        stored, observed_run = inputs.job.status, inputs.observed_run
        recorded_attempt = attempts.current(stored)
        attempt = inputs.transient.attempt or recorded_attempt
        recorded = attempt == recorded_attempt
        finished = stored.phase in TERMINAL_PHASES and recorded
        closed = recorded and attempts.closed(stored)
        has_submit_time = recorded and stored.submit_time is not None
        by_clearing = recorded and attempts.goes_on(stored)
        is_open = attempt is not None and not finished and not closed
        return cls(
            attempt=attempt,
            status=stored if recorded or attempt is None else attempts.begin(stored, attempt, inputs.now),
            recorded=recorded,
            finished=finished,
            open=is_open,
            submitted=observed_run.run is not None or has_submit_time,
            by_clearing=by_clearing,
            given_up=attempt is not None and recorded and not is_open and not has_submit_time and not by_clearing,
            run=_run(inputs, attempt),
        )

    @property
    def active(self) -> bool:
        """Whether the attempt is open and, as far as the operator knows, Airflow has or had a run
        of the attempt.
        """
        return self.open and self.submitted

    @property
    def number(self) -> int:
        """The number of the attempt, or 1 before the first attempt."""
        return self.attempt.number if self.attempt is not None else 1


def _run(inputs: Inputs, attempt: Attempt | None) -> RunKey:
    if attempt is not None:
        return RunKey(attempt.airflow, attempt.dag_id, attempt.run_id)
    first = attempts.next_run(inputs.job, inputs.prefix, 1, airflow=inputs.target, count=inputs.run_count)
    return RunKey(first.airflow, first.dag_id, first.run_id)
