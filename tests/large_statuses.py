"""The largest statuses that the operator may write."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from mljob_contract.mljob import (
    MAX_HISTORY,
    MAX_UPSTREAMS,
    AttemptStatus,
    Condition,
    MLJobSpec,
    MLJobStatus,
    Phase,
    StatusSource,
    UpstreamRun,
)
from mljob_operator.core.mljob.attempts import MAX_MESSAGE, MAX_MESSAGE_BYTES
from mljob_operator.core.mljob.classification.inputs import Inputs
from mljob_operator.core.mljob.classification.state import State, classify
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.resource.spec import ParsedSpec, spec_hash
from mljob_operator.core.mljob.resource.stored_status import StoredStatus
from mljob_operator.core.mljob.transient_state import TransientState
from mljob_operator.core.run.facts import Details, Failure, Question, Report, RunFact, Snapshot, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, observe
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.text.storable import cut
from tests.strategies import EPOCH

RUN_ID = f"mljob.{'s' * 63}.{'n' * 140}.aaaaaaaaaa-1"
UI_URL = "https://airflow.example.com/some/where"


def fact(task_id: str, index: int, state: TaskState, text: str) -> TaskFact:
    at = EPOCH + timedelta(seconds=index)
    names = {f"{text[:200]}{i}": 1e20 * (i + 1) for i in range(30)}
    return TaskFact(
        task_id,
        index,
        1,
        state,
        StatusSource.KAFKA,
        at,
        at,
        start=at,
        end=at,
        details=Details(
            progress=Report(1, at, progress=0.5),
            metrics=Report(1, at, metrics=names),
            failure=Failure(1, at, text, text or None),
            question=Question(1, text) if state is TaskState.AWAITING_INPUT else None,
        ),
    )


def failed_attempt(number: int, reason: str, text: str) -> AttemptStatus:
    return AttemptStatus(
        attempt=number,
        dag_run_id=RUN_ID,
        phase=Phase.FAILED,
        reason=reason,
        message=cut(text, MAX_MESSAGE, MAX_MESSAGE_BYTES),
        progress="4999/5000",
        start_time=EPOCH,
        completion_time=EPOCH,
    )


def largest(letter: str = "<", attempts: int = MAX_HISTORY) -> tuple[State, dict[str, Any]]:
    """Return a pair: a :class:`State` with which the status becomes as large as possible, and
    outputs of the run.

    Free texts, such as error messages, are repetitions of ``letter``. ``attempts`` is the number of
    entries in ``status.history``.
    """
    text = letter * 3000
    tasks = [fact(f"{i}_" + "t" * 244, -1, TaskState.FAILED, text) for i in range(2000)]
    tasks += [fact("mapped", i, TaskState.RUNNING, text) for i in range(5000)]
    run = RunFact(RunState.FAILED, StatusSource.REST, EPOCH, EPOCH, start=EPOCH, end=EPOCH, queued_at=EPOCH)
    observed_run = observe(ObservedRun(), Snapshot(EPOCH, run=run, tasks=tuple(tasks), complete=True, final=True))
    spec = MLJobSpec(dag_id="d" * 250)
    entry = failed_attempt(1, "PreRunningDeadlineExceeded", text)
    status = MLJobStatus(
        phase=Phase.RUNNING,
        reason="TaskRunning",
        dag_id="d" * 250,
        dag_run_id=RUN_ID,
        attempts=20,
        spec_hash=spec_hash(spec),
        submit_time=EPOCH,
        upstreams=[
            UpstreamRun(name=f"{n:02}{'n' * 138}", dag_run_id=RUN_ID, attempt=n + 1) for n in range(MAX_UPSTREAMS)
        ],
        history=[entry.model_copy(update={"attempt": number}) for number in range(1, attempts + 1)] or None,
        conditions=[Condition(type="Suspended", status="False", reason="Resumed", last_transition_time=EPOCH)],
    )
    job = Job("s" * 63, "n" * 140, "uid", 7, "1", (), None, EPOCH, ParsedSpec(spec), StoredStatus.of(status))
    transient = TransientState(over_since=EPOCH, unknown_params=text)
    situation = classify(Inputs(job, replace(observed_run, listed=True), transient, EPOCH + timedelta(seconds=60)))
    return situation, {f"output_{i}": letter * 90 for i in range(300)}
