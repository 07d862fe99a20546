from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import MAX_FAILED_RUNS, MLJobSpec, Phase, ReprocessBehavior, StatusSource
from mljob_operator.core.run.backfill import (
    Backfill,
    BackfillRequest,
    BackfillRun,
    BackfillSnapshot,
    ObservedBackfill,
    as_one_run,
    with_change,
    with_snapshot,
)
from mljob_operator.core.run.facts import RunFact
from mljob_operator.core.run.states import TERMINAL_RUN, RunState
from mljob_operator.core.status import backfill as backfill_status

CREATED = datetime(2026, 2, 1, 12, tzinfo=UTC)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def backfill(*, attempt: int = 1, paused: bool = False, completed: datetime | None = None) -> Backfill:
    marker = Marker("mljob.team-a.nightly.aaaaaaaaaa-1", attempt)
    end = FIRST + timedelta(days=9)
    return Backfill(
        7,
        "days",
        marker,
        FIRST,
        end,
        {},
        ReprocessBehavior.NONE,
        10,
        paused,
        created_at=CREATED,
        completed_at=completed,
    )


def member(
    day: int,
    state: RunState,
    *,
    at: float = 10,
    attempt: int | None = 1,
    source: StatusSource = StatusSource.REST,
    created: float | None = 0,
) -> BackfillRun:
    """Return a run of a backfill.

    Args:
        day: The day for which the run is, as a number: 1 is the first day of the backfill's range.
        at: When the run entered its state, in seconds after the creation of the backfill.
        attempt: The number of the MLJob's attempt that created the run. Ignored if ``source`` is
            Kafka.
        source: The source of the run's state: an event in Kafka, or Airflow's REST API.
        created: When the run was queued, in seconds after the creation of the backfill. None if
            this time is unknown. Ignored if ``source`` is Kafka.
    """
    now = CREATED + timedelta(seconds=at)
    rest = source is StatusSource.REST
    run = RunFact(
        state,
        source,
        now,
        now,
        start=now if rest and state is not RunState.QUEUED else None,
        end=now if rest and state in TERMINAL_RUN else None,
        queued_at=CREATED + timedelta(seconds=created) if rest and created is not None else None,
    )
    date = FIRST + timedelta(days=day - 1)
    return BackfillRun(f"backfill__{date.isoformat()}", run, date if rest else None, attempt if rest else None)


def observed_backfill(*members: BackfillRun, of: Backfill | None = None, not_created: int = 0) -> ObservedBackfill:
    return with_snapshot(None, BackfillSnapshot(of or backfill(), members, not_created))


QUEUED, RUNNING, SUCCESS, FAILED = RunState
LATER = CREATED + timedelta(seconds=60)


class TestRequest:
    SPEC = MLJobSpec.model_validate(
        {
            "dagId": "days",
            "type": "Backfill",
            "backfill": {
                "from": "2026-01-01T00:00:00Z",
                "to": "2026-01-10T00:00:00Z",
                "reprocessBehavior": "Completed",
                "maxActiveRuns": 3,
                "runBackwards": True,
            },
        }
    )

    def test_it_has_the_range_and_the_settings_of_the_spec(self) -> None:
        last = FIRST + timedelta(days=9)
        assert BackfillRequest.of(self.SPEC, {"table": "sales"}) == BackfillRequest(
            FIRST, last, ReprocessBehavior.COMPLETED, 3, True, {"table": "sales"}
        )

    @pytest.mark.parametrize("backwards", [True, False])
    def test_repeating_a_backfill_takes_only_the_direction_from_the_spec(self, *, backwards: bool) -> None:
        assert self.SPEC.backfill is not None
        direction = self.SPEC.backfill.model_copy(update={"run_backwards": backwards})
        spec = self.SPEC.model_copy(update={"backfill": direction})
        made = backfill()
        assert BackfillRequest.repeating(made, spec) == BackfillRequest(
            made.start, made.end, made.reprocess, made.max_active_runs, backwards, made.conf
        )

    def test_a_spec_without_a_backfill_repeats_it_forwards(self) -> None:
        assert not BackfillRequest.repeating(backfill(), MLJobSpec(dag_id="days")).backwards

    def test_a_request_for_failed_runs_differs_in_nothing_else(self) -> None:
        request = BackfillRequest.of(self.SPEC, {"table": "sales"})
        again = request.for_failed_runs()
        assert again.reprocess is ReprocessBehavior.FAILED
        assert (again.start, again.end, again.backwards, again.conf) == (FIRST, request.end, True, request.conf)


class TestAsOneRun:
    @pytest.mark.parametrize(
        ("states", "whole"),
        [
            ([QUEUED, QUEUED], QUEUED),
            ([RUNNING, QUEUED], RUNNING),
            ([SUCCESS, QUEUED], RUNNING),
            ([FAILED, RUNNING], RUNNING),
            ([SUCCESS, SUCCESS], SUCCESS),
            ([SUCCESS, FAILED], FAILED),
        ],
        ids=["none-started", "one-runs", "one-is-done", "one-failed", "all-succeeded", "some-failed"],
    )
    def test_its_state_follows_from_the_states_of_its_runs(self, states: list[RunState], whole: RunState) -> None:
        members = [member(day, state) for day, state in enumerate(states, start=1)]
        assert as_one_run(observed_backfill(*members)).state is whole

    def test_without_runs_it_is_queued(self) -> None:
        assert as_one_run(observed_backfill()).state is QUEUED

    def test_a_closed_backfill_whose_runs_existed_already_has_succeeded(self) -> None:
        assert as_one_run(observed_backfill(of=backfill(completed=LATER), not_created=3)).state is SUCCESS

    def test_a_closed_backfill_without_any_run_has_failed(self) -> None:
        broken = observed_backfill(of=backfill(completed=LATER))
        assert as_one_run(broken).state is FAILED
        assert backfill_status.failed_runs(broken).reason == "BackfillEmpty"

    def test_its_times_are_the_first_start_and_the_last_end(self) -> None:
        run = as_one_run(
            observed_backfill(member(1, SUCCESS, at=10), member(2, FAILED, at=30), member(3, SUCCESS, at=20))
        )
        assert run.start == CREATED + timedelta(seconds=10)
        assert run.end == CREATED + timedelta(seconds=30)
        assert run.queued_at == CREATED

    def test_runs_that_succeeded_earlier_do_not_begin_a_retry(self) -> None:
        retry = observed_backfill(member(1, SUCCESS, at=-60), member(2, QUEUED, attempt=2), of=backfill(attempt=2))
        assert as_one_run(retry).state is QUEUED

    def test_a_retry_without_visible_runs_has_not_failed(self) -> None:
        retry = observed_backfill(member(1, SUCCESS, at=-60), member(2, FAILED, at=-60), of=backfill(attempt=2))
        assert as_one_run(retry).state is QUEUED


class TestJoining:
    def test_an_event_moves_a_run_forward(self) -> None:
        after = with_change(observed_backfill(member(1, RUNNING)), member(1, SUCCESS, at=20, source=StatusSource.KAFKA))
        (only,) = after.members.values()
        assert (only.run.state, only.date, only.attempt) == (RUNNING, FIRST, 1)
        assert after.shown.members[only.run_id].run.state is SUCCESS
        assert not after.over, "an event ends nothing"
        assert after.last_event_at == CREATED + timedelta(seconds=20)

    def test_an_event_of_an_unknown_run_changes_nothing(self) -> None:
        before = observed_backfill(member(1, QUEUED))
        assert with_change(before, member(2, RUNNING, source=StatusSource.KAFKA)) is before

    def test_the_change_feed_adds_unknown_runs(self) -> None:
        assert len(with_change(observed_backfill(member(1, QUEUED)), member(2, QUEUED)).members) == 2

    def test_an_event_from_before_a_retry_changes_nothing(self) -> None:
        before = observed_backfill(member(1, QUEUED, attempt=2, created=60), of=backfill(attempt=2))
        assert with_change(before, member(1, FAILED, at=30, source=StatusSource.KAFKA)).shown.members == before.members

    def test_an_answer_from_before_a_retry_changes_nothing(self) -> None:
        before = observed_backfill(member(1, QUEUED, attempt=2, created=60), of=backfill(attempt=2))
        assert with_change(before, member(1, FAILED, at=30, attempt=1)) is before

    def test_a_run_that_a_person_clears_is_in_progress_again(self) -> None:
        before = observed_backfill(member(1, FAILED, at=10), member(2, RUNNING))
        assert not with_change(before, member(1, QUEUED, at=30, created=25)).failed

    def test_an_answer_of_a_later_attempt_replaces_the_end_of_the_earlier_one(self) -> None:
        before = observed_backfill(member(1, FAILED, at=10))
        retried = with_change(before, member(1, QUEUED, at=30, attempt=2, created=None))
        assert [found.run.state for found in retried.members.values()] == [QUEUED]
        assert [found.attempt for found in retried.members.values()] == [2]

    def test_an_event_that_the_rest_api_has_contradicted_changes_nothing(self) -> None:
        wrong = member(1, FAILED, at=20, source=StatusSource.KAFKA)
        reported = with_change(observed_backfill(member(1, RUNNING)), wrong)
        denied = with_change(reported, member(1, RUNNING, at=40))
        assert not denied.shown.failed
        assert with_change(denied, wrong) is denied

    def test_failed_runs_without_a_date_come_last(self) -> None:
        dated, undated = member(2, FAILED), replace(member(1, FAILED), date=None)
        assert observed_backfill(undated, dated).failed == [dated, undated]

    def test_a_run_that_is_missing_in_a_full_list_is_removed(self) -> None:
        before = observed_backfill(member(1, SUCCESS), member(2, QUEUED))
        assert list(with_snapshot(before, BackfillSnapshot(backfill(), (member(2, QUEUED),), 0)).members) == [
            member(2, QUEUED).run_id
        ]

    @given(
        st.permutations(
            [
                member(day, state, at=at, source=StatusSource.KAFKA)
                for day in (1, 2)
                for at, state in ((20, RUNNING), (30, SUCCESS))
            ]
        )
    )
    def test_duplicate_and_reordered_events_give_the_same_backfill(self, events: list[BackfillRun]) -> None:
        start = observed_backfill(member(1, QUEUED), member(2, QUEUED))
        in_sequence = reduce(with_change, events, start)
        assert {found.run.state for found in in_sequence.shown.members.values()} == {SUCCESS}
        assert reduce(with_change, events, in_sequence).members == in_sequence.members


class TestReport:
    def test_runs_are_counted_by_their_states(self) -> None:
        found = backfill_status.fields_of(
            observed_backfill(
                member(1, SUCCESS), member(2, FAILED), member(3, RUNNING), member(4, QUEUED), not_created=2
            ),
            "http://a/dags/days",
        )
        assert (found["progress"], found["percent"]) == ("1/4", 25)
        assert found["backfill"].runs.model_dump() == {
            "total": 4,
            "queued": 1,
            "running": 1,
            "success": 1,
            "failed": 1,
            "not_created": 2,
        }

    def test_the_list_of_failed_runs_is_bounded_and_counts_are_exact(self) -> None:
        found = backfill_status.fields_of(
            observed_backfill(*(member(day, FAILED) for day in range(1, 5001))), "http://a/dags/days"
        )
        status = found["backfill"]
        assert len(status.failed_runs) == MAX_FAILED_RUNS
        assert (status.failed_runs_omitted, status.runs.failed) == (5000 - MAX_FAILED_RUNS, 5000)
        assert status.failed_runs[0].logical_date == FIRST
        assert len(json.dumps(status.model_dump(mode="json"))) < 8 * 1024

    @pytest.mark.parametrize(
        ("days", "text"),
        [
            ([1], "2026-01-01"),
            ([1, 2], "2026-01-01 and 2026-01-02"),
            ([1, 2, 3], "2026-01-01, 2026-01-02 and 2026-01-03"),
            (range(1, 8), "2026-01-01, 2026-01-02, 2026-01-03, 2026-01-04, 2026-01-05 and 2 more"),
        ],
        ids=["one", "two", "three", "many"],
    )
    def test_a_message_names_the_first_dates(self, days: list[int], text: str) -> None:
        assert backfill_status.dates([member(day, FAILED) for day in days]) == text

    def test_a_failed_backfill_whose_failed_runs_ran_again_has_failed(self) -> None:
        story = backfill_status.failed_runs(observed_backfill(member(1, SUCCESS), of=backfill(completed=LATER)))
        assert (story.phase, story.reason) == (Phase.FAILED, "BackfillRunsFailed")
        assert "somebody or another backfill has run them again, or they were deleted" in story.message

    def test_an_hourly_date_has_its_time(self) -> None:
        at = FIRST + timedelta(hours=5)
        assert backfill_status.dates([BackfillRun("x", member(1, FAILED).run, at)]) == "2026-01-01T05:00:00Z"

    def test_the_message_of_a_backfill_paused_in_airflow_names_the_queued_runs(self) -> None:
        story = backfill_status.progress_of(
            observed_backfill(member(1, RUNNING), member(2, QUEUED), of=backfill(paused=True))
        )
        assert (story.phase, story.reason) == (Phase.RUNNING, "BackfillPaused")
        assert "1 run will not start" in story.message
