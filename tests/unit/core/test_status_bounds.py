from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mljob_contract.mljob import (
    MAX_HISTORY,
    MAX_TASKS,
    Condition,
    MLJobSpec,
    MLJobStatus,
    Phase,
    StatusSource,
)
from mljob_operator.core.mljob.classification.inputs import Inputs
from mljob_operator.core.mljob.classification.state import State, classify
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.resource.spec import ParsedSpec, spec_hash
from mljob_operator.core.mljob.resource.stored_status import StoredStatus
from mljob_operator.core.mljob.transient_state import LastError, TransientState
from mljob_operator.core.run.facts import RunFact, Snapshot, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, observe
from mljob_operator.core.run.outputs import bounded
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.status.build import MAX_STATUS_BYTES, report
from mljob_operator.core.status.tasks import MAX_TASKS_BYTES
from mljob_operator.core.text.storable import stored_size
from tests.large_statuses import RUN_ID, UI_URL, fact, failed_attempt, largest
from tests.strategies import EPOCH

letters = st.sampled_from(["x", '"', "\\", "\n", "\x00", "\b", "<", "ä", "\u2028", "\U0001f600", "\ud800", "e+16"])
texts = st.builds(lambda letter, n: letter * n, letters, st.integers(0, 3000))
task_ids = st.builds(
    lambda letter, n, i: f"{i}_{letter * n}"[:250], st.sampled_from("xä任"), st.integers(0, 250), st.integers(0, 2000)
)
states = st.sampled_from(list(TaskState))


@st.composite
def observed_runs(draw: st.DrawFn) -> ObservedRun:
    text = draw(texts)
    tasks: list[TaskFact] = []
    for task_id in draw(st.lists(task_ids, max_size=8, unique=True)):
        state = draw(states)
        match draw(st.sampled_from(["one", "many", "mapped"])):
            case "one":
                tasks.append(fact(task_id, -1, state, text))
            case "many":
                tasks += [fact(f"{i}{task_id}"[:250], -1, state, text) for i in range(draw(st.integers(1, 200)))]
            case _:
                other = draw(states)
                size = draw(st.integers(1, 300))
                tasks += [fact(task_id, i, other if i % 3 else state, text) for i in range(size)]
    run = RunFact(draw(st.sampled_from(list(RunState))), StatusSource.REST, EPOCH, EPOCH, start=EPOCH, queued_at=EPOCH)
    return observe(ObservedRun(), Snapshot(EPOCH, run=run, tasks=tuple(tasks), complete=True))


@st.composite
def situations(draw: st.DrawFn) -> State:
    text = draw(texts)
    spec = MLJobSpec(dag_id="d" * 250, backoff_limit=draw(st.sampled_from([0, 20])), cancel=draw(st.booleans()))
    phase = draw(st.sampled_from([Phase.PENDING, Phase.QUEUED, Phase.RUNNING, Phase.CANCELLING, Phase.FAILED]))
    history = [failed_attempt(number, "TaskFailed", text) for number in range(1, draw(st.integers(0, MAX_HISTORY)) + 1)]
    status = MLJobStatus(
        phase=phase,
        reason="TaskFailed",
        message=text.encode("utf-8", "replace").decode(),
        dag_id="d" * 250,
        dag_run_id=RUN_ID,
        dag_run_url=UI_URL,
        attempts=20,
        spec_hash=spec_hash(spec),
        submit_time=draw(st.sampled_from([EPOCH, None])),
        start_time=EPOCH,
        active_since=EPOCH,
        history=history or None,
        conditions=[Condition(type="Suspended", status="False", reason="Resumed", last_transition_time=EPOCH)],
    )
    job = Job("s" * 63, "n" * 140, "uid", 7, "1", (), None, EPOCH, ParsedSpec(spec), StoredStatus.of(status))
    retry_at = draw(st.sampled_from([EPOCH, EPOCH + timedelta(hours=1)]))
    last_error = LastError("AirflowUnavailable", text, 7, retry_at, starting=True) if draw(st.booleans()) else None
    transient = TransientState(last_error=last_error, kept_by=text, over_since=draw(st.sampled_from([EPOCH, None])))
    return classify(
        Inputs(job, draw(observed_runs()), transient, EPOCH + timedelta(seconds=draw(st.sampled_from([1, 60]))))
    )


outputs = st.none() | st.builds(
    lambda text, n, weights: {**{f"{i}{text[:100]}": [text[:50], 1e20] for i in range(n)}, "weights": weights},
    texts,
    st.integers(0, 300),
    texts,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(situations(), outputs)
def test_a_status_stays_small_and_exact(situation: State, found: dict[str, Any] | None) -> None:
    status = report(situation, ui_url=UI_URL, outputs=bounded(found) if found is not None else None)

    assert stored_size(status) <= MAX_STATUS_BYTES
    json.dumps(status, allow_nan=False, ensure_ascii=False).encode()
    facts = situation.observed_run.tasks.values()
    ids = {fact.task_id for fact in facts}
    if facts:
        counts = dict(status["taskCounts"])
        assert counts.pop("total") == len(facts)
        assert sum(counts.values()) == len(facts)
        shown = status.get("tasks", [])
        assert len(shown) + status.get("tasksOmitted", 0) == len(ids)
        assert len(shown) <= MAX_TASKS
    if found is not None:
        left_out = status.get("outputsOmitted", [])
        more = int(left_out[-1].split()[2]) - 1 if left_out and left_out[-1].startswith("... and") else 0
        named = {name.encode("utf-8", "replace").decode() for name in found}
        assert len(status.get("outputs", {})) + len(left_out) + more == len(named)
    assert MLJobStatus.model_validate(status)


@pytest.mark.parametrize("letter", ["x", "<", "\x00", "\U0001f600"], ids=["plain", "html", "control", "astral"])
def test_the_largest_status_leaves_room_for_tasks(letter: str) -> None:
    situation, found = largest(letter)
    status = report(situation, ui_url=UI_URL, outputs=bounded(found))
    assert 50 * 1024 < stored_size(status) <= MAX_STATUS_BYTES
    assert len(status["tasks"]) >= 5
    assert {task["state"] for task in status["tasks"]} == {"failed"}


@pytest.mark.parametrize("letter", ["x", "<", "\x00", "\U0001f600"], ids=["plain", "html", "control", "astral"])
def test_without_outputs_and_history_tasks_take_their_limit(letter: str) -> None:
    situation, _ = largest(letter, attempts=0)
    status = report(situation, ui_url=UI_URL)
    assert "history" not in status
    assert MAX_TASKS_BYTES - 4 * 1024 < stored_size(status["tasks"]) <= MAX_TASKS_BYTES + len("[]")
    assert stored_size(status) <= MAX_STATUS_BYTES
