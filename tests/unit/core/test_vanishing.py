"""If many runs are missing at once, the operator assumes that Airflow has lost its database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mljob_operator.core.run.vanishing import MissingRuns, Vanished, are_many, vanished_message, vanished_report

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = [("team-a", f"job-{number}") for number in range(10)]


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Runs:
    def __init__(self, number: int) -> None:
        self.known = MissingRuns()
        self.keys = NAMES[:number]
        for key in self.keys:
            self.found(key, 0)

    def found(self, key: tuple[str, str], seconds: float, *, submitted: float = 0) -> None:
        self.known.follow(key, "prod", missed_at=None, answered_at=at(seconds), submitted_at=at(submitted))

    def missed(self, key: tuple[str, str], seconds: float, *, submitted: float = 0) -> None:
        self.known.follow(key, "prod", missed_at=at(seconds), answered_at=at(seconds), submitted_at=at(submitted))

    def relist(self, seconds: float, *unlisted: tuple[str, str]) -> None:
        self.known.relist("prod", at(seconds), unlisted)

    @property
    def counting(self) -> list[tuple[str, str]]:
        return [key for key in self.known.missing("prod") if not self.known.withholds_absence(key)]


@pytest.mark.parametrize(
    ("missing", "followed", "is_many"),
    [
        (1, 1, False),
        (2, 2, False),
        (3, 3, True),
        (3, 6, True),
        (3, 7, False),
        (50, 100, True),
        (49, 100, False),
        (0, 0, False),
    ],
)
def test_many_means_at_least_three_runs_and_half_of_the_followed_runs(
    missing: int, followed: int, *, is_many: bool
) -> None:
    assert are_many(missing, followed) is is_many


class TestOneThatIsMissing:
    @pytest.mark.parametrize("followed", [1, 2])
    def test_counts_without_a_relist_if_few_runs_are_followed(self, followed: int) -> None:
        runs = Runs(followed)
        runs.missed(runs.keys[0], 1)
        assert runs.counting == [runs.keys[0]]
        assert not runs.known.wants_relist("prod")

    def test_needs_no_relist_after_its_mljob_is_forgotten(self) -> None:
        runs = Runs(5)
        runs.missed(runs.keys[0], 1)
        runs.known.forget(runs.keys[0])
        assert not runs.known.needs_relist(runs.keys[0])

    def test_does_not_count_before_a_relist(self) -> None:
        runs = Runs(5)
        runs.missed(runs.keys[0], 1)
        assert runs.counting == []
        assert runs.known.wants_relist("prod")
        runs.relist(2, runs.keys[0])
        assert runs.counting == [runs.keys[0]]
        assert not runs.known.wants_relist("prod")

    def test_does_not_count_if_the_relist_listed_it(self) -> None:
        runs = Runs(5)
        runs.relist(1)
        runs.missed(runs.keys[0], 2)
        assert runs.counting == []

    def test_does_not_count_until_all_unlisted_runs_were_looked_up(self) -> None:
        runs = Runs(6)
        gone, ended, third, *_ = runs.keys
        runs.relist(1, gone, ended, third)
        runs.missed(gone, 2)
        assert runs.counting == []
        runs.found(third, 2)
        assert runs.counting == [gone]
        runs.known.forget(ended)
        assert runs.counting == [gone]

    def test_an_answer_from_before_the_relist_does_not_count_as_found(self) -> None:
        runs = Runs(3)
        first, *others = runs.keys
        runs.relist(5, *runs.keys)
        for other in others:
            runs.missed(other, 6)
        runs.found(first, 4)
        assert runs.counting == []
        runs.found(first, 6)
        assert runs.counting == others


class TestManyThatAreMissing:
    def vanished(self, missing: int = 4, followed: int = 5) -> Runs:
        runs = Runs(followed)
        runs.relist(1, *runs.keys[:missing])
        for key in runs.keys[:missing]:
            runs.missed(key, 2)
        return runs

    def test_do_not_count_as_deleted_and_are_reported_with_their_number(self) -> None:
        runs = self.vanished()
        assert runs.counting == []
        vanished = runs.known.vanished("prod")
        assert vanished is not None
        assert (vanished.missing, vanished.followed, vanished.since) == (4, 5, at(2))
        assert "4 of the 5 MLJobs" in vanished_report("prod", vanished, "http://prod")

    def test_of_one_namespace_among_several_count_as_deleted(self) -> None:
        runs = Runs(6)
        runs.found(("team-b", "job"), 0)
        runs.relist(60, *runs.keys)
        for key in runs.keys:
            runs.missed(key, 61)
        assert not runs.known.have_vanished("prod")
        assert runs.counting == runs.keys

    def test_of_several_namespaces_have_vanished(self) -> None:
        runs = Runs(6)
        others = [("team-b", "job"), ("team-c", "job")]
        for other in others:
            runs.found(other, 0)
        runs.relist(60, *runs.keys, others[0])
        for key in (*runs.keys, others[0]):
            runs.missed(key, 61)
        assert runs.known.have_vanished("prod")
        assert runs.counting == []

    def test_have_not_vanished_from_another_airflow(self) -> None:
        runs = self.vanished()
        assert not runs.known.have_vanished("staging")

    def test_count_as_vanished_until_the_last_one_is_found(self) -> None:
        runs = self.vanished()
        for key in runs.keys[:3]:
            runs.found(key, 3)
        assert runs.known.have_vanished("prod")
        assert runs.counting == []
        runs.found(runs.keys[3], 3)
        assert not runs.known.have_vanished("prod")

    def test_count_once_their_loss_is_accepted(self) -> None:
        runs = self.vanished()
        assert runs.known.accept("prod", at(3)) == 4
        assert runs.known.accept("prod", at(3)) == 0
        assert runs.counting == runs.keys[:4]
        assert not runs.known.have_vanished("prod")

    def test_runs_submitted_later_are_not_accepted(self) -> None:
        runs = self.vanished()
        runs.known.accept("prod", at(3))
        later = [("team-a", f"later-{number}") for number in range(3)]
        for key in later:
            runs.found(key, 4, submitted=4)
        runs.relist(5, *runs.keys[:4], *later)
        for key in later:
            runs.missed(key, 6, submitted=4)
        assert runs.counting == runs.keys[:4]
        assert runs.known.have_vanished("prod")

    def test_an_accepted_run_that_is_found_again_is_not_missing(self) -> None:
        runs = self.vanished()
        runs.known.accept("prod", at(3))
        runs.found(runs.keys[0], 4)
        assert runs.counting == runs.keys[1:4]
        assert runs.known.have_vanished("prod") is False

    def test_runs_that_were_submitted_again_are_not_accepted_any_more(self) -> None:
        runs = self.vanished()
        runs.known.accept("prod", at(3))
        for key in runs.keys[:3]:
            runs.missed(key, 5, submitted=4)
        assert runs.counting == [runs.keys[3]]

    def test_a_run_without_a_known_submission_is_not_accepted(self) -> None:
        runs = self.vanished()
        unknown = runs.keys[0]
        runs.known.follow(unknown, "prod", missed_at=at(2), answered_at=at(2), submitted_at=None)
        assert runs.known.accept("prod", at(3)) == 3
        assert runs.counting == runs.keys[1:4]

    def test_do_not_count_any_more_if_their_loss_is_no_longer_accepted(self) -> None:
        runs = self.vanished()
        runs.known.accept("prod", at(3))
        assert runs.known.accept("prod", None) == 0
        assert runs.counting == []
        assert runs.known.have_vanished("prod")

    def test_runs_submitted_before_the_accepted_time_are_lost(self) -> None:
        runs = Runs(4)
        runs.known.accept("prod", at(60))
        runs.relist(1, *runs.keys)
        for key in runs.keys:
            runs.missed(key, 2)
        assert runs.counting == runs.keys
        assert not runs.known.have_vanished("prod")

    def test_runs_submitted_after_the_accepted_time_are_not_lost(self) -> None:
        runs = Runs(4)
        runs.known.accept("prod", T0)
        runs.relist(1, *runs.keys)
        for key in runs.keys:
            runs.missed(key, 2)
        assert runs.counting == []

    def test_a_new_process_waits_for_its_own_relist(self) -> None:
        runs = Runs(3)
        runs.known.assume_vanished("prod")
        assert runs.known.have_vanished("prod")
        runs.relist(1)
        assert not runs.known.have_vanished("prod")

    def test_changes_are_reported_once(self) -> None:
        runs = self.vanished()
        assert runs.known.take_changes() == ["prod"]
        assert runs.known.take_changes() == []
        runs.known.accept("prod", at(3))
        assert runs.known.take_changes() == ["prod"]


class TestFollowing:
    def test_a_run_that_is_still_there_changes_nothing(self) -> None:
        runs = Runs(3)
        found = {"missed_at": None, "answered_at": at(1), "submitted_at": T0}
        assert not runs.known.follow(runs.keys[0], "prod", **found)
        runs.missed(runs.keys[0], 1)
        assert runs.known.follow(runs.keys[0], "prod", **found)

    def test_a_run_in_another_airflow_is_not_followed_in_the_first_one_any_more(self) -> None:
        runs = Runs(3)
        moved = runs.keys[0]
        runs.missed(moved, 1)
        runs.known.follow(moved, "staging", missed_at=None, answered_at=at(2), submitted_at=at(2))
        assert runs.known.missing("prod") == []
        runs.missed(runs.keys[1], 3)
        assert runs.counting == [runs.keys[1]], "two followed runs need no relist"

    def test_an_mljob_without_a_followed_run_is_forgotten_once(self) -> None:
        runs = Runs(1)
        assert runs.known.forget(runs.keys[0])
        assert not runs.known.forget(runs.keys[0])

    def test_the_absence_of_a_run_that_is_not_followed_is_not_withheld(self) -> None:
        runs = Runs(3)
        runs.known.assume_vanished("prod")
        assert not runs.known.withholds_absence(("team-z", "new"))
        assert runs.known.withholds_absence(runs.keys[0])

    def test_an_unknown_airflow_has_no_missing_runs(self) -> None:
        assert MissingRuns().missing("prod") == []
        assert MissingRuns().vanished("prod") is None
        assert not MissingRuns().have_vanished("prod")


class TestMessages:
    @pytest.mark.parametrize(
        ("airflow", "remedy"),
        [
            pytest.param("prod", "kubectl annotate airflowinstance prod", id="an AirflowInstance"),
            pytest.param(
                "", "--reset-then-reuse-values and --set airflow.acceptVanishedRunsBefore=", id="the settings' Airflow"
            ),
        ],
    )
    def test_a_message_says_how_to_accept_the_loss(self, airflow: str, remedy: str) -> None:
        assert remedy in vanished_message(airflow)
        assert vanished_message(airflow).startswith("RunsVanished: ")
        assert remedy in vanished_report(airflow, Vanished(4, 5, T0), "http://airflow")

    def test_a_report_says_since_when_runs_are_missing_if_this_process_knows(self) -> None:
        assert "(since 2026-01-01 00:00:00 UTC)" in vanished_report("prod", Vanished(4, 5, T0), "http://airflow")
        assert "since" not in vanished_report("prod", Vanished(0, 5, None), "http://airflow")
