"""Events about a run, and the answers of Airflow's REST API that confirm or contradict these
events.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.mljob import StatusSource
from mljob_operator.core.run.facts import END_GRACE, NO_DETAILS, Failure, Report, RunFact, Snapshot, TaskFact
from mljob_operator.core.run.observed_run import (
    ABSENCE_CONFIRMED_AFTER,
    MAX_DENIED,
    ObservedRun,
    fold,
    observe,
    observe_absence,
)
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.run.task_merging import CONFIRMED_WITHIN, GRACE
from tests.strategies import EPOCH, event, rest, task_events

QUEUED, RUNNING, SUCCESS, FAILED = RunState.QUEUED, RunState.RUNNING, RunState.SUCCESS, RunState.FAILED
GRACE_S, END_GRACE_S, CONFIRMED_S = (d.total_seconds() for d in (GRACE, END_GRACE, CONFIRMED_WITHIN))


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def heard(state: RunState, seconds: float = 0) -> RunFact:
    return RunFact(state, StatusSource.KAFKA, at(seconds), at(seconds))


def answer(
    state: RunState, seconds: float, *tasks: TaskFact, queued_at: float = -100, complete: bool = False
) -> Snapshot:
    run = RunFact(state, StatusSource.REST, at(seconds), at(seconds), queued_at=at(queued_at))
    return Snapshot(at(seconds), run=run, tasks=tasks, complete=complete)


def running(*, seconds: float = -50) -> ObservedRun:
    return observe(ObservedRun(), answer(RUNNING, seconds))


class TestRuns:
    @pytest.mark.parametrize("said", [SUCCESS, FAILED])
    @pytest.mark.parametrize(
        "before",
        [ObservedRun(), observe(ObservedRun(), answer(QUEUED, -50)), running()],
        ids=["unknown", "queued", "running"],
    )
    def test_no_event_ends_a_run(self, before: ObservedRun, said: RunState) -> None:
        observed_run = fold(before, [heard(said)])
        assert not observed_run.over
        assert observed_run.run == before.run
        assert observed_run.reported_end is not None
        assert observed_run.shown_run == before.run, "not for people either"

    @pytest.mark.parametrize("said", list(RunState))
    @pytest.mark.parametrize("true", [SUCCESS, FAILED])
    def test_no_event_undoes_an_end(self, true: RunState, said: RunState) -> None:
        over = observe(ObservedRun(), answer(true, 0))
        assert fold(over, [heard(said, 5)]) == over

    @pytest.mark.parametrize(("said", "true"), [(SUCCESS, FAILED), (FAILED, SUCCESS), (SUCCESS, SUCCESS)])
    def test_rest_decides_how_a_run_ended(self, said: RunState, true: RunState) -> None:
        observed_run = observe(fold(running(), [heard(said)]), answer(true, 0.1))
        assert observed_run.over
        assert (observed_run.run and observed_run.run.state, observed_run.reported, observed_run.denied) == (
            true,
            None,
            (),
        )

    @pytest.mark.parametrize(
        ("said", "true", "asked", "stands"),
        [
            pytest.param(SUCCESS, RUNNING, -1.0, True, id="asked before the event"),
            pytest.param(SUCCESS, RUNNING, 0.5, True, id="Airflow may not have stored the end yet"),
            pytest.param(SUCCESS, RUNNING, END_GRACE_S - 0.1, True, id="within the grace"),
            pytest.param(SUCCESS, RUNNING, END_GRACE_S, False, id="denied for longer than the grace"),
            pytest.param(FAILED, QUEUED, END_GRACE_S, False, id="one that is still queued"),
            pytest.param(RUNNING, QUEUED, 1.0, True, id="a start within the grace"),
            pytest.param(RUNNING, QUEUED, END_GRACE_S, False, id="a start that is denied"),
        ],
    )
    def test_a_denied_event_is_believed_for_a_while(
        self, said: RunState, true: RunState, asked: float, stands: bool
    ) -> None:
        before = observe(ObservedRun(), answer(true, -50))
        event_of_it = heard(said)
        observed_run = observe(fold(before, [event_of_it]), answer(true, asked))
        assert (observed_run.reported is not None) is stands
        assert (observed_run.denied == ()) is stands
        assert observed_run.run is not None
        assert observed_run.run.state is true

    def test_a_copy_of_a_denied_end_changes_nothing(self) -> None:
        observed_run = observe(fold(running(), [heard(SUCCESS)]), answer(RUNNING, END_GRACE_S))
        again = replace(heard(SUCCESS), observed_at=at(60))
        assert fold(observed_run, [again]) == observed_run, "a copy, read later"

    def test_a_later_end_counts_again(self) -> None:
        observed_run = observe(fold(running(), [heard(SUCCESS)]), answer(RUNNING, END_GRACE_S))
        observed_run = fold(observed_run, [heard(SUCCESS, 90)])
        assert observed_run.reported_end is not None
        assert observe(observed_run, answer(SUCCESS, 91)).over

    def test_an_event_from_before_the_run_was_cleared_changes_nothing(self) -> None:
        cleared = observe(running(), answer(QUEUED, 20, queued_at=19))
        assert fold(cleared, [heard(SUCCESS, 10)]) == cleared
        before = fold(running(), [heard(SUCCESS, 10)])
        assert observe(before, answer(QUEUED, 20, queued_at=19)).reported is None

    @given(st.permutations([heard(state, second) for state in (RUNNING, SUCCESS, FAILED) for second in (0, 3)]))
    def test_the_order_of_events_does_not_matter(self, events: list[RunFact]) -> None:
        assert fold(running(), events).reported == heard(SUCCESS, 3)

    def test_the_number_of_remembered_events_is_bounded(self) -> None:
        observed_run = running()
        for n in range(MAX_DENIED + 5):
            second = n * 2 * END_GRACE_S
            observed_run = observe(fold(observed_run, [heard(SUCCESS, second)]), answer(RUNNING, second + END_GRACE_S))
        assert len(observed_run.denied) == MAX_DENIED


class TestTasks:
    @pytest.mark.parametrize(
        ("said", "asked", "shown"),
        [
            pytest.param({"state": TaskState.SUCCESS}, GRACE_S + 1, TaskState.SUCCESS, id="an end, a moment ago"),
            pytest.param({"state": TaskState.SUCCESS}, CONFIRMED_S - 1, TaskState.SUCCESS, id="an end, a while ago"),
            pytest.param({"state": TaskState.SUCCESS}, CONFIRMED_S, TaskState.RUNNING, id="an end, too long ago"),
            pytest.param({"state": TaskState.UP_FOR_RETRY}, CONFIRMED_S, TaskState.RUNNING, id="a retry, long ago"),
            pytest.param(
                {"state": TaskState.FAILED, "try_number": 99}, 1, TaskState.FAILED, id="a higher try, just now"
            ),
            pytest.param(
                {"state": TaskState.FAILED, "try_number": 99}, GRACE_S + 1, TaskState.RUNNING, id="a higher try, denied"
            ),
        ],
    )
    def test_an_event_is_believed_for_a_while(self, said: dict[str, Any], asked: float, shown: TaskState) -> None:
        before = observe(ObservedRun(), answer(RUNNING, -50, rest("fit", TaskState.RUNNING, seconds=-50)))
        observed_run = fold(before, [event("fit", **said)])
        observed_run = observe(observed_run, answer(RUNNING, asked, rest("fit", TaskState.RUNNING, seconds=asked)))
        assert observed_run.tasks["fit", -1].state is shown

    def test_a_copy_of_a_denied_event_changes_nothing(self) -> None:
        forged = event("fit", TaskState.FAILED, try_number=99)
        true = rest("fit", TaskState.RUNNING, seconds=CONFIRMED_S)
        observed_run = observe(fold(running(), [forged]), answer(RUNNING, CONFIRMED_S, true, complete=True))
        assert fold(observed_run, [replace(forged, observed_at=at(60))]) == observed_run

    def test_the_report_of_a_denied_event_is_removed(self) -> None:
        forged = event("fit", TaskState.FAILED, try_number=99, failure=Failure(99, at(0), "forged", "Forged"))
        reports = Report(99, at(0), progress=0.9), Report(99, at(0), metrics={"f": 1})
        forged = replace(forged, details=replace(forged.details, progress=reports[0], metrics=reports[1]))
        true = rest("fit", TaskState.RUNNING, seconds=CONFIRMED_S)
        observed_run = observe(fold(running(), [forged]), answer(RUNNING, CONFIRMED_S, true, complete=True))
        fact = observed_run.tasks["fit", -1]
        # Reports of try 99 would hide the reports of the true try.
        assert fact.details == NO_DETAILS

    def test_the_failure_of_a_try_in_progress_is_removed(self) -> None:
        forged = event("fit", TaskState.FAILED, failure=Failure(1, at(0), "forged", "Forged"))
        true = rest("fit", TaskState.RUNNING, seconds=CONFIRMED_S)
        observed_run = observe(fold(running(), [forged]), answer(RUNNING, CONFIRMED_S, true, complete=True))
        failed = event("fit", TaskState.FAILED, seconds=60, failure=Failure(1, at(60), "broken"))
        fact = fold(observed_run, [failed]).tasks["fit", -1]
        assert fact.details.failure is not None
        assert fact.details.failure.message == "broken"

    def test_a_missing_task_is_removed_and_stays_removed(self) -> None:
        forged = event("invented", TaskState.SUCCESS)
        observed_run = observe(fold(running(), [forged]), answer(RUNNING, CONFIRMED_S, complete=True))
        assert not observed_run.tasks
        assert fold(observed_run, [forged]).tasks == {}

    def test_the_next_event_of_a_task_counts_again(self) -> None:
        late = event("fit", TaskState.UP_FOR_RETRY)
        true = rest("fit", TaskState.RUNNING, seconds=CONFIRMED_S)
        observed_run = observe(fold(running(), [late]), answer(RUNNING, CONFIRMED_S, true))
        assert observed_run.tasks["fit", -1].state is TaskState.RUNNING, "as Airflow has it"
        observed_run = fold(observed_run, [event("fit", TaskState.RUNNING, try_number=2, seconds=60)])
        assert observed_run.tasks["fit", -1].try_number == 2

    @pytest.mark.parametrize(
        ("said", "asked", "unconfirmed"),
        [
            pytest.param(TaskState.RUNNING, rest("fit", TaskState.RUNNING, seconds=4), False, id="the same"),
            pytest.param(TaskState.RUNNING, rest("fit", TaskState.DEFERRED, seconds=4), False, id="the next state"),
            pytest.param(
                TaskState.RUNNING, rest("fit", TaskState.RUNNING, try_number=2, seconds=4), False, id="the next try"
            ),
            pytest.param(TaskState.SUCCESS, rest("fit", TaskState.RUNNING, seconds=4), True, id="an earlier state"),
        ],
    )
    def test_rest_confirms_events(self, said: TaskState, asked: TaskFact, unconfirmed: bool) -> None:
        observed_run = fold(running(), [event("fit", said)])
        assert observed_run.unconfirmed_since == at(0)
        observed_run = observe(observe(observed_run, answer(RUNNING, 4)), Snapshot(at(4), tasks=(asked,)))
        assert (observed_run.unconfirmed_since is not None) is unconfirmed

    def test_the_second_producers_event_needs_no_confirmation(self) -> None:
        observed_run = observe(
            fold(running(), [event("fit", TaskState.RUNNING)]), Snapshot(at(4), tasks=(rest("fit", TaskState.RUNNING),))
        )
        assert observed_run.unconfirmed_since is None
        assert fold(observed_run, [event("fit", TaskState.RUNNING, seconds=5)]).unconfirmed_since is None
        assert fold(observed_run, [event("fit", TaskState.SUCCESS, seconds=5)]).unconfirmed_since == at(5)

    @given(st.lists(task_events(), max_size=8, unique_by=lambda fact: fact.key), st.lists(task_events(), max_size=8))
    def test_a_full_list_after_the_bound_is_shown(self, events: list[TaskFact], listed: list[TaskFact]) -> None:
        true = {
            fact.key: rest(fact.task_id, fact.state, map_index=fact.map_index, try_number=1, seconds=CONFIRMED_S)
            for fact in listed
        }
        observed_run = fold(running(), events)
        observed_run = observe(observed_run, answer(RUNNING, CONFIRMED_S, *true.values(), complete=True))
        shown = {key: (fact.try_number, fact.state) for key, fact in observed_run.tasks.items()}
        mapped = {task_id for task_id, index in true if index >= 0}
        wanted = {key: fact for key, fact in true.items() if key[1] >= 0 or key[0] not in mapped}
        assert shown == {key: (fact.try_number, fact.state) for key, fact in wanted.items()}
        assert observed_run.unconfirmed_since is None
        again = fold(observed_run, [event for event in events if event.event_id in observed_run.denied])
        assert again.tasks == observed_run.tasks, "and copies of the events that were denied change nothing"


class TestAbsence:
    @pytest.mark.parametrize(
        ("looks", "arrives_by", "gone"),
        [
            pytest.param([0], None, False, id="said once"),
            pytest.param([0, 1], None, False, id="twice at once"),
            pytest.param([0, ABSENCE_CONFIRMED_AFTER.total_seconds()], None, True, id="twice, seconds apart"),
            pytest.param([0, 3, 20], 30, True, id="before a submission has arrived: known to the situation"),
            pytest.param([0, 30], 30, False, id="once before it could arrive, once after"),
            pytest.param([0, 30, 33], 30, True, id="twice after it could arrive"),
        ],
    )
    def test_absence_needs_two_answers(self, looks: list[float], arrives_by: float | None, gone: bool) -> None:
        observed_run = running()
        for second in looks:
            observed_run = observe_absence(observed_run, at(second), at(arrives_by) if arrives_by is not None else None)
        assert observed_run.not_found is gone

    def test_a_run_that_is_found_again_is_not_missed(self) -> None:
        observed_run = observe(observe_absence(running(), at(0), None), answer(RUNNING, 1))
        assert (observed_run.missed_at, observe_absence(observed_run, at(4), None).not_found) == (None, False)
