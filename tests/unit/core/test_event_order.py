from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.mljob import StatusSource
from mljob_operator.core.run import observed_run as ledger_module
from mljob_operator.core.run.facts import Details, Failure, RunFact, Snapshot, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, fold, observe
from mljob_operator.core.run.states import FINISHED_TASK, RunState, TaskState
from mljob_operator.core.run.task_merging import GRACE
from tests.strategies import EPOCH, event, rest, run_events, task_events

AT = EPOCH
LATER = GRACE.total_seconds() + 1


def snapshot(*tasks: TaskFact, seconds: float = 0, **more: Any) -> Snapshot:
    return Snapshot(EPOCH + timedelta(seconds=seconds), tasks=tasks, **more)


def state_of(observed_run: ObservedRun, task_id: str, map_index: int = -1) -> TaskState:
    return observed_run.tasks[task_id, map_index].state


@given(st.lists(task_events() | run_events(), max_size=12), st.randoms(use_true_random=False))
def test_events_in_another_sequence_give_the_same_tasks(events: list[TaskFact | RunFact], rng: random.Random) -> None:
    shuffled = events[:]
    rng.shuffle(shuffled)
    assert dict(fold(ObservedRun(), events).tasks) == dict(fold(ObservedRun(), shuffled).tasks)


@given(st.lists(task_events() | run_events(), max_size=12), st.data())
def test_events_that_come_twice_change_nothing(events: list[TaskFact | RunFact], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(events), max_size=8)) if events else []
    once = fold(ObservedRun(), events)
    twice = fold(once, again)
    assert dict(twice.tasks) == dict(once.tasks)
    assert twice.reported == once.reported


@given(st.lists(task_events(), max_size=12), st.integers(0, 12))
def test_folding_in_parts_gives_the_same_as_folding_at_once(events: list[TaskFact], cut: int) -> None:
    assert fold(fold(ObservedRun(), events[:cut]), events[cut:]).tasks == fold(ObservedRun(), events).tasks


@given(st.lists(task_events(), max_size=12), task_events())
def test_a_task_never_goes_back_within_a_try_by_events(events: list[TaskFact], one: TaskFact) -> None:
    before = fold(ObservedRun(), events)
    after = fold(before, [one])
    for key, fact in before.tasks.items():
        if key in after.tasks and fact.certain and fact.state in FINISHED_TASK:
            assert after.tasks[key].try_number > fact.try_number or after.tasks[key].state in FINISHED_TASK


@given(st.lists(task_events(), max_size=6))
def test_folding_does_not_change_the_observed_run_itself(events: list[TaskFact]) -> None:
    observed_run = ObservedRun()
    fold(observed_run, events)
    assert observed_run == ObservedRun()


def test_a_higher_try_counts_even_if_its_time_is_earlier() -> None:
    observed_run = fold(
        ObservedRun(), [event("fit", TaskState.FAILED, seconds=50), event("fit", TaskState.RUNNING, try_number=2)]
    )
    assert observed_run.tasks["fit", -1].try_number == 2
    assert state_of(observed_run, "fit") is TaskState.RUNNING


def test_a_running_event_that_comes_after_success_changes_nothing() -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.SUCCESS), event("fit", TaskState.RUNNING, seconds=9)])
    assert state_of(observed_run, "fit") is TaskState.SUCCESS


def test_an_expanded_task_replaces_its_placeholder() -> None:
    observed_run = observe(ObservedRun(), snapshot(rest("score", TaskState.NONE)))
    observed_run = fold(observed_run, [event("score", TaskState.RUNNING, map_index=0)])
    assert set(observed_run.tasks) == {("score", 0)}


def test_a_placeholder_in_an_old_answer_does_not_come_back_beside_the_instances() -> None:
    observed_run = fold(ObservedRun(), [event("score", TaskState.RUNNING, map_index=0)])
    observed_run = observe(observed_run, snapshot(rest("score", TaskState.NONE)))
    assert set(observed_run.tasks) == {("score", 0)}


def test_a_task_mapped_over_nothing_is_one_skipped_row() -> None:
    observed_run = observe(ObservedRun(), snapshot(rest("score", TaskState.SKIPPED), complete=True))
    assert state_of(observed_run, "score") is TaskState.SKIPPED


def test_rest_does_not_undo_a_recent_event() -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.SUCCESS, seconds=10)])
    observed_run = observe(observed_run, snapshot(rest("fit", TaskState.RUNNING, seconds=11), seconds=11))
    assert state_of(observed_run, "fit") is TaskState.SUCCESS


def test_rest_overrides_an_old_event() -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.SUCCESS, seconds=0)])
    observed_run = observe(observed_run, snapshot(rest("fit", TaskState.NONE, seconds=LATER), seconds=LATER))
    assert state_of(observed_run, "fit") is TaskState.NONE


def test_a_late_event_from_before_a_clearing_leaves_the_state() -> None:
    at = EPOCH + timedelta(seconds=20)
    cleared = RunFact(RunState.QUEUED, StatusSource.REST, at, at, queued_at=at)
    observed_run = observe(ObservedRun(), snapshot(rest("fit", TaskState.NONE, seconds=21), run=cleared, seconds=21))
    late = event("fit", TaskState.FAILED, seconds=10)
    failure = Failure(1, late.occurred_at, "broken")
    observed_run = fold(observed_run, [replace(late, details=Details(failure=failure), end=late.occurred_at)])
    told = observed_run.tasks["fit", -1]
    assert (told.state, told.end, told.details.failure) == (TaskState.NONE, None, failure)
    observed_run = fold(observed_run, [event("fit", TaskState.RUNNING, seconds=22)])
    assert state_of(observed_run, "fit") is TaskState.RUNNING


def test_an_event_from_before_a_clearing_does_not_override_rest() -> None:
    at = EPOCH + timedelta(seconds=20)
    observed_run = fold(
        ObservedRun(), [replace(event("fit", TaskState.SUCCESS, seconds=10), observed_at=EPOCH + timedelta(seconds=30))]
    )
    cleared = RunFact(RunState.QUEUED, StatusSource.REST, at, at, queued_at=at)
    observed_run = observe(observed_run, snapshot(rest("fit", TaskState.NONE, seconds=31), run=cleared, seconds=31))
    assert state_of(observed_run, "fit") is TaskState.NONE


@pytest.mark.parametrize("certain", [True, False], ids=["ours", "the official producer's"])
def test_an_ended_try_is_not_in_progress_again(*, certain: bool) -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.FAILED, certain=certain, seconds=0)])
    # The worker may not have reached Airflow to store the end.
    for state in (TaskState.QUEUED, TaskState.RUNNING, TaskState.DEFERRED):
        observed_run = observe(observed_run, snapshot(rest("fit", state, seconds=LATER), seconds=LATER))
        assert state_of(observed_run, "fit") is TaskState.FAILED
    observed_run = observe(
        observed_run, snapshot(rest("fit", TaskState.RUNNING, try_number=2, seconds=LATER), seconds=LATER)
    )
    assert state_of(observed_run, "fit") is TaskState.RUNNING


def test_rest_counts_once_airflow_notices_that_a_worker_died_before_its_end_was_stored() -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.SUCCESS, seconds=0)])
    observed_run = observe(observed_run, snapshot(rest("fit", TaskState.UP_FOR_RETRY, seconds=LATER), seconds=LATER))
    assert state_of(observed_run, "fit") is TaskState.UP_FOR_RETRY


def test_rest_moves_a_task_forward_at_once() -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.RUNNING, seconds=10)])
    observed_run = observe(observed_run, snapshot(rest("fit", TaskState.FAILED, seconds=10.1), seconds=10.1))
    assert state_of(observed_run, "fit") is TaskState.FAILED


@pytest.mark.parametrize(
    ("state", "shown"),
    [(TaskState.UP_FOR_RETRY, TaskState.UP_FOR_RETRY), (TaskState.FAILED, TaskState.FAILED)],
    ids=["a retry", "a final failure"],
)
def test_rest_decides_what_an_official_failure_was(state: TaskState, shown: TaskState) -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.FAILED, certain=False, max_tries=1, seconds=10)])
    observed_run = observe(observed_run, snapshot(rest("fit", state, seconds=10.5), seconds=10.5))
    assert observed_run.tasks["fit", -1].shown_state is shown


def test_an_official_failure_with_tries_left_is_shown_as_a_retry() -> None:
    observed_run = observe(ObservedRun(), snapshot(rest("fit", TaskState.RUNNING, max_tries=2)))
    observed_run = fold(observed_run, [event("fit", TaskState.FAILED, certain=False, seconds=1)])
    assert observed_run.tasks["fit", -1].shown_state is TaskState.UP_FOR_RETRY


def test_a_running_answer_does_not_undo_an_uncertain_failure() -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.FAILED, certain=False, seconds=10)])
    observed_run = observe(observed_run, snapshot(rest("fit", TaskState.RUNNING, seconds=10.5), seconds=10.5))
    assert state_of(observed_run, "fit") is TaskState.FAILED


def test_events_add_no_more_tasks_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MAX_TASKS", 3)
    events = [event(f"task-{number}", TaskState.RUNNING) for number in range(5)]
    observed_run = fold(ObservedRun(), events)
    assert len(observed_run.tasks) == 3
    observed_run = fold(observed_run, [event("task-0", TaskState.SUCCESS, seconds=1)])
    assert state_of(observed_run, "task-0") is TaskState.SUCCESS
    observed_run = observe(observed_run, snapshot(*(rest(f"task-{number}", TaskState.RUNNING) for number in range(5))))
    assert len(observed_run.tasks) == 5


def test_a_complete_list_removes_missing_tasks() -> None:
    observed_run = observe(ObservedRun(), snapshot(rest("gone", TaskState.NONE), rest("fit", TaskState.NONE)))
    observed_run = observe(observed_run, snapshot(rest("fit", TaskState.NONE, seconds=1), seconds=1, complete=True))
    assert set(observed_run.tasks) == {("fit", -1)}
    assert observed_run.complete


def test_the_final_list_overrides_everything() -> None:
    observed_run = fold(
        ObservedRun(), [event("fit", TaskState.SUCCESS, seconds=10), event("stray", TaskState.RUNNING, seconds=10)]
    )
    observed_run = observe(
        observed_run, snapshot(rest("fit", TaskState.FAILED, seconds=10), seconds=10, complete=True, final=True)
    )
    assert {key: fact.state for key, fact in observed_run.tasks.items()} == {("fit", -1): TaskState.FAILED}
    assert observed_run.listed


def test_an_ended_run_stays_ended() -> None:
    ended = observe(ObservedRun(), Snapshot(AT, run=RunFact(RunState.FAILED, StatusSource.REST, AT, AT)))
    for later in (RunState.RUNNING, RunState.SUCCESS, RunState.QUEUED):
        observed_run = observe(ended, Snapshot(AT, run=RunFact(later, StatusSource.REST, AT, AT)))
        assert observed_run.run is not None
        assert observed_run.run.state is RunState.FAILED
        assert fold(ended, [RunFact(later, StatusSource.KAFKA, AT, AT)]) == ended


def test_a_running_task_shows_that_its_run_is_running() -> None:
    submitted = observe(
        ObservedRun(), Snapshot(AT, run=RunFact(RunState.QUEUED, StatusSource.REST, AT, AT, queued_at=AT))
    )
    observed_run = fold(submitted, [event("fit", TaskState.RUNNING, seconds=1)])
    assert observed_run.shown_run is not None
    assert observed_run.shown_run.state is RunState.RUNNING


def test_a_run_is_settling_once_every_task_has_ended_until_the_run_ends() -> None:
    observed_run = fold(ObservedRun(), [event("fit", TaskState.SUCCESS), event("score", TaskState.RUNNING)])
    assert not observed_run.all_tasks_ended
    observed_run = fold(observed_run, [event("score", TaskState.SUCCESS, seconds=1)])
    assert observed_run.all_tasks_ended
    assert not observe(
        observed_run, Snapshot(AT, run=RunFact(RunState.SUCCESS, StatusSource.REST, AT, AT))
    ).all_tasks_ended


def test_the_failure_that_names_its_exception_is_kept() -> None:
    official = event("fit", TaskState.FAILED, certain=False, seconds=2, failure=Failure(1, AT, "boom"))
    ours = event("fit", TaskState.FAILED, seconds=1, failure=Failure(1, AT, "boom", "ValueError"))
    for sequence in ([ours, official], [official, ours]):
        fact = fold(ObservedRun(), sequence).tasks["fit", -1]
        assert fact.details.failure is not None
        assert fact.details.failure.type == "ValueError"
        assert fact.certain


def test_a_repeated_answer_keeps_its_first_time() -> None:
    first = observe(ObservedRun(), snapshot(rest("fit", TaskState.RUNNING)))
    second = observe(first, snapshot(rest("fit", TaskState.RUNNING, seconds=5), seconds=5))
    assert second.tasks["fit", -1].occurred_at == first.tasks["fit", -1].occurred_at


@st.composite
def repeated_answers(draw: st.DrawFn) -> list[Snapshot]:
    """Answers of the REST API with the same content, the earliest first."""
    states = draw(st.lists(st.sampled_from(list(TaskState)), max_size=2))
    run_state = draw(st.none() | st.sampled_from(list(RunState)))
    more = {"complete": draw(st.booleans()), "final": draw(st.booleans())}
    found = []
    for seconds in sorted(draw(st.lists(st.floats(0, 60), min_size=3, max_size=5))):
        at = EPOCH + timedelta(seconds=seconds)
        run = RunFact(run_state, StatusSource.REST, at, at, queued_at=EPOCH) if run_state else None
        tasks = [rest(name, state, seconds=seconds) for name, state in zip(("extract", "fit"), states, strict=False)]
        found.append(snapshot(*tasks, seconds=seconds, run=run, **more))
    return found


@given(st.lists(task_events() | run_events(), max_size=8), repeated_answers())
def test_one_answer_stands_for_answers_that_repeat_each_other(
    events: list[TaskFact | RunFact], repeated: list[Snapshot]
) -> None:
    one = repeated[0]
    for later in repeated[1:]:
        found = later.merged_with(one)
        assert found is not None
        one = found

    def without_times(observed_run: ObservedRun) -> ObservedRun:
        # An answer that removes an event may be the first to show an earlier state, which then has
        # the time of this answer.
        tasks = {key: replace(fact, occurred_at=EPOCH, observed_at=EPOCH) for key, fact in observed_run.tasks.items()}
        return replace(observed_run, tasks=tasks, denied=())

    before = fold(ObservedRun(), events)
    expected, after = reduce(observe, repeated, before), observe(before, one)
    assert without_times(after) == without_times(expected)
    # The one answer may also deny what an event about a task says about the run.
    assert set(after.denied) >= set(expected.denied)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"tasks": (rest("fit", TaskState.SUCCESS),)}, id="another state"),
        pytest.param({"tasks": (rest("fit", TaskState.RUNNING, try_number=2),)}, id="another try"),
        pytest.param({"tasks": ()}, id="no tasks"),
        pytest.param({"run": RunFact(RunState.RUNNING, StatusSource.REST, AT, AT)}, id="about the run as well"),
        pytest.param({"complete": True}, id="all tasks"),
        pytest.param({"final": True}, id="the last list"),
    ],
)
def test_answer_with_other_content_is_no_repetition(other: dict[str, Any]) -> None:
    answer = snapshot(rest("fit", TaskState.RUNNING))
    later = snapshot(rest("fit", TaskState.RUNNING, seconds=9), seconds=9)
    assert later.merged_with(answer) == replace(later, tasks=(replace(later.tasks[0], occurred_at=AT),))
    assert replace(answer, **other).merged_with(answer) is None
    assert answer.merged_with(replace(answer, **other)) is None
