"""Runs in Airflow without an MLJob."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.core.orphans import Suspects, follows, note, note_of_retained, orphan_event
from mljob_operator.core.run.run_key import RunKey

from .situations import Given, ago, classified, ended, given, job, later, retrying, status_of, stored, under_way

NOW = ago(0)
RUNS = [RunKey("prod", "train", f"mljob.team-a.job-{number}.aaaaaaaaaa-1") for number in range(4)]


def test_the_note_of_a_retained_run_differs_from_the_note_of_a_followed_run() -> None:
    assert note(("team-a", "churn")) == "MLJob team-a/churn"
    assert note_of_retained(("team-a", "churn")) == "MLJob team-a/churn, deleted with deletionPolicy Retain"


OURS = classified(given(job())).run
"""The run of the first attempt."""
SECOND = given(job(), status=under_way(2, run=2, history=(ended(1),)))


def with_first_run(*times: str) -> Given:
    """Return a :class:`Given` with an MLJob in its second attempt. In ``status.history``, the first
    attempt has only the given times of its run, such as ``startTime``.
    """
    status = status_of(SECOND)
    first: dict[str, Any] = {name: value for name, value in status["history"][0].items() if name != "submitTime"}
    return stored(SECOND, status | {"history": [first | dict.fromkeys(times, "2026-01-01T11:00:00Z")]})


@pytest.mark.parametrize(
    ("situation", "run", "expected"),
    [
        pytest.param(given(job(), status=under_way()), OURS, True, id="the run of its attempt"),
        pytest.param(
            given(job(), status=under_way()), OURS._replace(airflow="again"), True, id="listed by another instance"
        ),
        pytest.param(
            given(job(), status=under_way()), OURS._replace(dag_id="score"), False, id="a child run with the same id"
        ),
        pytest.param(
            given(job(), status=under_way()), OURS._replace(run_id="manual__1"), False, id="somebody else's run"
        ),
        pytest.param(given(job(), status=retrying()), OURS, True, id="the run of an attempt that is to be retried"),
        pytest.param(with_first_run("submitTime"), OURS, True, id="the run of an earlier attempt"),
        pytest.param(with_first_run("startTime"), OURS, True, id="a run in the history of an earlier version"),
        pytest.param(with_first_run(), OURS, False, id="a late run of an earlier attempt"),
        pytest.param(given(job()), OURS, True, id="the run that its first attempt will have"),
        pytest.param(
            given(job()),
            OURS._replace(run_id=OURS.run_id.replace("-1", "-2")),
            True,
            id="a later run of the same object, before the status is read",
        ),
        pytest.param(
            given(job()), OURS._replace(run_id="mljob.team-a.train.aaaaaaaaaa-1"), False, id="a deleted namesake's run"
        ),
        pytest.param(given(job()), OURS._replace(run_id="manual__1"), False, id="no MLJob's run"),
    ],
)
def test_an_mljob_follows_its_run_and_the_runs_of_earlier_attempts(
    situation: Given, run: RunKey, expected: bool
) -> None:
    assert follows(classified(situation).job, run) is expected


@pytest.mark.parametrize(
    ("airflow", "cancelled", "words"),
    [
        pytest.param("prod", True, ["AirflowInstance prod", "The operator cancels it."], id="cancelled"),
        pytest.param("prod", False, ["Cancel it in Airflow", "operator.orphanedRuns"], id="left to a person"),
        pytest.param("", False, ["the Airflow of the operator's settings"], id="in the settings' Airflow"),
    ],
)
def test_the_event_says_where_the_run_is_and_what_to_do(airflow: str, cancelled: bool, words: list[str]) -> None:
    told = orphan_event(RUNS[0]._replace(airflow=airflow), ("team-a", "job-0"), cancelled=cancelled)
    assert (told.type, told.reason) == ("Warning", "OrphanedRun")
    for word in [*words, RUNS[0].run_id, "DAG train", "MLJob team-a/job-0"]:
        assert word in told.message
    assert ("The operator cancels it." in told.message) is cancelled


class TestSuspicion:
    def test_a_run_is_looked_up_after_a_minute(self) -> None:
        suspects = Suspects()
        assert suspects.update(RUNS[:1], ago(60)) == []
        assert suspects.update(RUNS[:1], ago(1)) == []
        assert suspects.update(RUNS[:1], NOW) == RUNS[:1]

    def test_a_run_that_a_relist_did_not_list_is_a_new_suspect(self) -> None:
        suspects = Suspects()
        suspects.update(RUNS[:1], ago(90))
        suspects.update([], ago(45))
        assert suspects.update(RUNS[:1], NOW) == []

    def test_the_longest_suspected_runs_are_looked_up_first(self) -> None:
        suspects = Suspects()
        suspects.update([RUNS[1]], ago(120))
        suspects.update([RUNS[0], RUNS[1]], ago(90))
        assert suspects.update([RUNS[0], RUNS[1]], NOW) == [RUNS[1], RUNS[0]]

    def test_an_mljob_that_follows_the_run_clears_it_for_another_minute(self) -> None:
        suspects = Suspects(orphaned={RUNS[0]})
        suspects.update(RUNS[:1], ago(120))
        suspects.mark_followed(RUNS[0], ago(50))
        assert suspects.orphaned == set()
        assert suspects.update(RUNS[:1], NOW) == []
        assert suspects.update(RUNS[:1], later(10)) == RUNS[:1]

    def test_an_orphaned_run_is_not_looked_up_again(self) -> None:
        suspects = Suspects()
        suspects.update(RUNS[:1], ago(120))
        suspects.orphaned.add(RUNS[0])
        assert suspects.update(RUNS[:1], NOW) == []

    def test_an_orphaned_run_that_has_ended_is_forgotten(self) -> None:
        suspects = Suspects(orphaned={RUNS[0]})
        suspects.update(RUNS[:1], ago(120))
        assert suspects.next_to_cancel(1, ago(110)) == RUNS[:1]
        suspects.update([], ago(60))
        assert (suspects.since, suspects.orphaned, suspects.cancelled_at) == ({}, set(), {})


class TestCancelling:
    def test_a_limited_number_of_runs_is_cancelled_at_once(self) -> None:
        suspects = Suspects(orphaned=set(RUNS))
        assert suspects.next_to_cancel(3, NOW) == RUNS[:3]
        assert Suspects().next_to_cancel(3, NOW) == []

    def test_runs_whose_cancellation_was_tried_come_last(self) -> None:
        suspects = Suspects(orphaned=set(RUNS))
        suspects.next_to_cancel(2, ago(20))
        assert suspects.next_to_cancel(3, ago(10)) == [RUNS[2], RUNS[3], RUNS[0]]
        assert suspects.next_to_cancel(4, NOW) == [RUNS[1], RUNS[0], RUNS[2], RUNS[3]]
