from __future__ import annotations

from datetime import datetime

import pytest

from mljob_contract.mljob import StatusSource
from mljob_operator.core.run.backfill import BackfillRun, BackfillSnapshot
from mljob_operator.core.run.facts import Question, Report, RunFact, Snapshot
from mljob_operator.core.run.observed_run import (
    ObservedRun,
    add_questions,
    fold,
    has_unread_question,
    observe,
    observe_absence,
    observe_backfill,
)
from mljob_operator.core.run.states import RunState
from tests.strategies import EPOCH, event

from .situations import NOW, ago, backfill, later, queued, run_event, running, task, unread

FIRST, SECOND = "backfill__2025-12-01", "backfill__2025-12-02"
RUNS = {"2025-12-01": "success", "2025-12-02": "running"}


def snapshot_of(observed: ObservedRun, *, final: bool = False) -> BackfillSnapshot:
    whole = observed.observed_backfill
    assert whole is not None
    return BackfillSnapshot(whole.backfill, tuple(whole.members.values()), whole.not_created, final)


def states_of(observed: ObservedRun) -> tuple[RunState | None, RunState | None]:
    run, shown = observed.run, observed.shown_run
    return run.state if run is not None else None, shown.state if shown is not None else None


class TestBackfill:
    def test_an_event_of_a_run_is_shown_and_ends_nothing(self) -> None:
        before = backfill(RUNS)
        after = fold(before, [BackfillRun(SECOND, run_event("success"))])
        assert states_of(after) == (RunState.RUNNING, RunState.RUNNING)
        assert after.reported_end is not None
        assert after.reported_end.state is RunState.SUCCESS
        assert not after.over

    def test_the_start_of_the_first_run_is_shown(self) -> None:
        after = fold(backfill({"2025-12-01": "queued"}), [BackfillRun(FIRST, run_event("running"))])
        assert states_of(after) == (RunState.QUEUED, RunState.RUNNING)

    def test_an_event_of_another_backfills_run_changes_nothing(self) -> None:
        before = backfill(RUNS)
        assert fold(before, [BackfillRun("backfill__2030-01-01", run_event("failed"))]) == before

    def test_a_backfills_run_changes_nothing_in_a_single_run(self) -> None:
        before = running()
        assert fold(before, [BackfillRun(FIRST, run_event("failed"))]) is before

    def test_an_answer_has_the_whole_backfill(self) -> None:
        after = observe_backfill(unread(), snapshot_of(backfill(RUNS)))
        assert states_of(after) == (RunState.RUNNING, RunState.RUNNING)
        assert (after.complete, after.listed) == (True, False)

    def test_an_answer_proves_that_the_backfill_exists(self) -> None:
        missing = observe_absence(observe_absence(unread(), ago(10), None), NOW, None)
        assert missing.not_found
        found = observe_backfill(missing, snapshot_of(backfill(RUNS)))
        assert (found.missed_at, found.not_found) == (None, False)

    def test_a_final_answer_has_nothing_to_follow(self) -> None:
        over = backfill({"2025-12-01": "success"})
        final = observe_backfill(unread(), snapshot_of(over, final=True))
        assert final.listed
        assert observe_backfill(final, snapshot_of(over)).listed

    def test_a_backfill_that_has_ended_stays_ended_if_a_person_clears_a_run(self) -> None:
        over = backfill({"2025-12-01": "failed"})
        after = observe_backfill(over, snapshot_of(backfill({"2025-12-01": "queued"})))
        assert over.run is not None
        assert after.run is not None
        assert after.run.state is RunState.FAILED
        assert after.over

    def test_an_event_that_airflow_has_not_confirmed_is_counted_from_its_reading(self) -> None:
        after = fold(backfill(RUNS), [BackfillRun(SECOND, run_event("failed", ago(7)))])
        assert after.unconfirmed_since == ago(7)
        assert backfill(RUNS).unconfirmed_since is None

    def test_events_of_its_runs_that_airflow_contradicts_are_known(self) -> None:
        wrong = run_event("failed", ago(60))
        reported = fold(backfill({"2025-12-01": "running"}), [BackfillRun(FIRST, wrong)])
        assert reported.contradicted == frozenset()
        denied = observe_backfill(reported, snapshot_of(backfill({"2025-12-01": "running"})))
        assert denied.contradicted == {(FIRST, *wrong.event_id)}
        assert fold(denied, [BackfillRun(FIRST, wrong)]) == denied


class TestAbsence:
    @pytest.mark.parametrize(
        ("first", "second", "arrives_by", "proved"),
        [
            pytest.param(ago(3), NOW, None, True, id="twice, 3 s apart"),
            pytest.param(ago(2), NOW, None, False, id="twice, at once"),
            pytest.param(ago(10), NOW, ago(5), False, id="the first answer is from before a submission could arrive"),
            pytest.param(ago(10), NOW, ago(10), True, id="both are from after it"),
            pytest.param(ago(10), NOW, later(5), True, id="a submission may still arrive, which others decide"),
        ],
    )
    def test_a_run_is_not_found_after_two_answers(
        self, first: datetime, second: datetime, arrives_by: datetime | None, proved: bool
    ) -> None:
        once = observe_absence(unread(), first, arrives_by)
        assert (once.missed_at, once.not_found) == (first, False)
        assert observe_absence(once, second, arrives_by).not_found is proved


class TestQuestions:
    ASKING = task("approve", "awaiting_input", try_number=2, asked=False)

    def test_a_task_that_awaits_input_has_an_unread_question(self) -> None:
        assert has_unread_question(running(self.ASKING, task("fit")))
        assert not has_unread_question(running(task("fit")))
        assert not has_unread_question(running(task("approve", "awaiting_input", asks="Deploy?")))

    def test_a_question_is_added_to_its_task(self) -> None:
        other = task("review", "awaiting_input", asks="Publish?")
        before = running(self.ASKING, other, task("fit"))
        deploy = Question(2, "Deploy?")
        after = add_questions(before, {self.ASKING.key: deploy, other.key: Question(1, "Another?")})
        assert after.tasks[self.ASKING.key].details.question == deploy
        assert after.tasks[other.key] == other, "its question was read before"
        assert after.tasks["fit", -1] == task("fit")

    def test_airflow_is_not_asked_again_for_a_question_that_it_does_not_return(self) -> None:
        after = add_questions(running(self.ASKING), {})
        assert after.tasks[self.ASKING.key].details.question == Question(2)
        assert not has_unread_question(after)


class TestEarlierAttempt:
    def test_an_event_from_before_the_attempt_changes_nothing(self) -> None:
        cleared = unread(since=ago(60))
        assert fold(cleared, [run_event("failed", ago(61))]) == cleared
        assert fold(cleared, [run_event("running", ago(59))]).reported == run_event("running", ago(59))

    @pytest.mark.parametrize(
        ("answer", "counts"),
        [
            pytest.param(RunFact(RunState.FAILED, StatusSource.REST, ago(90), NOW), False, id="a state from before it"),
            pytest.param(
                RunFact(RunState.FAILED, StatusSource.REST, ago(10), NOW, end=ago(90)),
                False,
                id="an end from before it",
            ),
            pytest.param(
                RunFact(RunState.FAILED, StatusSource.REST, ago(90), NOW, end=ago(10)), True, id="a later end"
            ),
            pytest.param(
                RunFact(RunState.RUNNING, StatusSource.REST, ago(10), NOW, end=ago(90)),
                True,
                id="a run in progress, whose end does not count",
            ),
            pytest.param(
                RunFact(RunState.FAILED, StatusSource.REST, ago(10), NOW, queued_at=ago(90)),
                False,
                id="queued before it",
            ),
            pytest.param(
                RunFact(RunState.QUEUED, StatusSource.REST, ago(90), NOW, queued_at=ago(59)), True, id="queued for it"
            ),
        ],
    )
    def test_an_answer_counts_if_its_times_are_from_this_attempt(self, answer: RunFact, counts: bool) -> None:
        after = observe(unread(since=ago(60)), Snapshot(NOW, run=answer))
        assert after.run == (answer if counts else None)

    def test_queue_times_are_compared_if_both_answers_have_one(self) -> None:
        before = queued(since=ago(60))
        again = RunFact(RunState.RUNNING, StatusSource.REST, ago(500), NOW, queued_at=ago(500))
        assert observe(before, Snapshot(NOW, run=again)).run == again


def test_of_two_reports_with_the_same_time_the_same_one_counts_in_any_order() -> None:
    reports = [Report(1, EPOCH, progress=share) for share in (0.2, 0.7)]
    events = [event("fit", task("fit").state, progress=report) for report in reports]
    one, other = fold(ObservedRun(), events), fold(ObservedRun(), events[::-1])
    assert one.tasks["fit", -1].details.progress == other.tasks["fit", -1].details.progress
    assert one.tasks["fit", -1].details.progress in reports
