"""What is told, to whom, and how often: once, then only what is new, worse or over."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.notifications import state
from mljob_airflow.monitoring.notifications.state import (
    MAX_NOTIFIED,
    Conversation,
    NotificationPolicy,
    NotificationReason,
    NotifiedFinding,
)
from mljob_contract.reports import FindingKind, Severity
from tests.unit.airflow_provider.monitoring.reports import NOW, SLOW, finding, report

A, B = finding("a"), finding("b")


class Teller:
    """Looks one after the other, every quarter of an hour, and what was said after each."""

    def __init__(self) -> None:
        self.state: state.NotificationState = {}
        self.policy = NotificationPolicy()
        self.minutes = 0.0

    def look(self, *findings, after: float = 15, **fields):
        self.minutes += after
        made = report(*findings, minutes=self.minutes, **fields)
        notifications = state.due_notifications(self.state, made, self.policy)
        for notification in notifications:
            self.state = state.after_notification(self.state, notification, Conversation("#a", "C1", "1.1", made.at))
        self.state = state.after_report(self.state, made, self.policy)
        self.state = state.from_json(json.loads(json.dumps(state.to_json(self.state))))
        return notifications


@pytest.fixture
def teller() -> Teller:
    return Teller()


def test_nothing_wrong_is_not_said(teller):
    assert teller.look() == []


def test_what_is_new_is_said_once(teller):
    [notification] = teller.look(A, B)
    assert (notification.owner, notification.reason, notification.new) == ("team-a", NotificationReason.NEW, (A, B))
    assert teller.look(A, B) == []
    assert teller.look(B, A) == []


def test_each_owner_gets_one_message_and_two_owners_both_get_theirs(teller):
    both = finding("shared", owners=("team-a", "team-b"))
    platform = finding("pool", owner=None)
    notifications = teller.look(A, both, platform)
    assert {notification.owner: len(notification.current) for notification in notifications} == {
        "": 1,
        "team-a": 2,
        "team-b": 1,
    }


def test_something_new_is_said_in_the_thread(teller):
    teller.look(A)
    [notification] = teller.look(A, B)
    assert (notification.reason, notification.new, notification.current) == (NotificationReason.CHANGED, (B,), (A, B))
    assert not notification.starts_thread


def test_worse_is_new_and_better_is_not(teller):
    worse = A.model_copy(update={"severity": Severity.CRITICAL})
    teller.look(A)
    assert teller.look(worse)[0].new == (worse,)
    assert teller.look(A) == []
    assert teller.look(worse) == []


def test_other_numbers_are_no_news(teller):
    teller.look(A)
    assert teller.look(A.model_copy(update={"title": "a is paused, 7 runs waiting", "numbers": {"runs": 7}})) == []


def test_after_a_quiet_period_what_is_still_wrong_is_said_again(teller):
    teller.look(A)
    assert teller.look(A, after=23 * 60) == []
    [notification] = teller.look(A, after=60)
    assert notification.reason is NotificationReason.REMINDER
    assert notification.starts_thread
    assert teller.look(A) == []


def test_a_reply_does_not_put_off_the_next_reminder(teller):
    teller.look(A)
    teller.look(A, B, after=23 * 60)
    assert teller.look(A, B, after=60)[0].reason is NotificationReason.REMINDER


def test_what_is_over_is_said_when_it_has_stayed_away_for_a_while(teller):
    teller.look(A, B)
    assert teller.look(B) == []
    assert teller.look(B) == []
    [notification] = teller.look(B)
    assert (notification.reason, dict(notification.resolved), notification.current) == (
        NotificationReason.RESOLVED,
        {A.key: "a is paused"},
        (B,),
    )
    assert teller.look(B) == []


def test_what_flickers_is_told_once(teller):
    teller.look(A)
    said = [teller.look(*([A] if step % 3 == 0 else [])) for step in range(30)]
    assert said == [[]] * 30


def test_when_all_is_over_the_next_trouble_begins_a_conversation(teller):
    teller.look(A)
    assert teller.look(after=60)[0].reason is NotificationReason.RESOLVED
    assert teller.state == {}
    assert teller.look(A)[0].reason is NotificationReason.NEW


def test_what_was_not_looked_at_in_full_is_not_over(teller):
    teller.look(A)
    assert teller.look(after=600, incomplete={FindingKind.DAG_PAUSED: "only the first 10,000 DAGs were read"}) == []
    assert teller.look(after=15)[0].reason is NotificationReason.RESOLVED


def test_a_slow_run_is_never_over_it_is_forgotten(teller):
    teller.look(SLOW)
    assert teller.look(after=60) == []
    assert teller.look(SLOW, after=60) == []
    assert teller.look(after=25 * 60) == []
    assert teller.state == {}


def test_what_matters_too_little_is_not_said(teller):
    info = finding("info", severity=Severity.INFO)
    assert teller.look(info) == []
    teller.policy = NotificationPolicy(min_severity=Severity.INFO)
    assert teller.look(info)[0].new == (info,)


def test_the_memory_is_bounded_and_keeps_what_was_seen_last():
    told = {
        f"dag_paused:{n}": NotifiedFinding(f"{n}", Severity.WARNING, NOW + timedelta(seconds=n))
        for n in range(MAX_NOTIFIED + 50)
    }
    full = {
        "team-a": Conversation("#a", "C1", None, NOW, told),
        "old": Conversation("#b", "C2", None, NOW, {"dag_paused:x": NotifiedFinding("x", Severity.WARNING, NOW)}),
    }
    kept = state.bounded(full)
    assert set(kept) == {"team-a"}
    assert len(kept["team-a"].findings) == MAX_NOTIFIED
    assert "dag_paused:0" not in kept["team-a"].findings


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        "x",
        {"team-a": {}},
        {"team-a": None},
        {"team-a": {"target": "", "channel": "", "thread": None, "at": "yesterday", "findings": {}}},
    ],
)
def test_a_memory_that_cannot_be_read_says_so(damaged):
    with pytest.raises(ValueError, match="not the state of a monitor"):
        state.from_json(damaged)


def test_no_memory_is_an_empty_one():
    assert state.from_json(None) == {}


def test_a_kind_that_this_version_does_not_know_is_dropped(teller):
    teller.look(A)
    conversation = teller.state["team-a"]
    odd = {"from_the_future:a": NotifiedFinding("?", Severity.WARNING, NOW)}
    teller.state = {"team-a": replace(conversation, findings={**conversation.findings, **odd})}
    assert teller.look(A) == []
    assert set(teller.state["team-a"].findings) == {A.key}


findings = st.lists(
    st.builds(
        finding,
        subject=st.sampled_from("abcdef"),
        owner=st.sampled_from(["x", "y"]),
        severity=st.sampled_from(list(Severity)),
        kind=st.sampled_from([FindingKind.DAG_PAUSED, FindingKind.SLOW_TASK, FindingKind.IMPORT_ERROR]),
    ),
    max_size=8,
    unique_by=lambda f: (f.key, f.owners),
)


@given(st.lists(st.tuples(findings, st.sampled_from([15.0, 60.0, 1500.0])), max_size=12))
def test_whatever_is_found_nobody_is_told_the_same_twice_within_the_quiet_period(looks):
    teller = Teller()
    told: dict[tuple[str, str], tuple[float, int]] = {}
    for found, minutes in looks:
        for notification in teller.look(*found, after=minutes):
            for resolved in notification.resolved:
                told.pop((notification.owner, resolved), None)
            for new in notification.new:
                before = told.get((notification.owner, new.key))
                quiet = 24 * 60
                assert before is None or teller.minutes - before[0] >= quiet or new.severity.rank > before[1]
                told[notification.owner, new.key] = (teller.minutes, new.severity.rank)
    assert len(json.dumps(state.to_json(teller.state))) < 100_000
