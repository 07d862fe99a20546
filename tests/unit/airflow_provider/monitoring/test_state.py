"""Which notifications the monitoring sends after a report."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.notifications import state
from mljob_airflow.monitoring.notifications.routing import Batch, OwnerDirectory, batches_by_address
from mljob_airflow.monitoring.notifications.state import (
    MAX_NOTIFIED,
    Conversation,
    Notification,
    NotificationPolicy,
    NotificationReason,
    NotifiedFinding,
)
from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Severity
from tests.unit.airflow_provider.monitoring.reports import NOW, SLOW, finding
from tests.unit.airflow_provider.monitoring.reports import report as make_report

A, B = finding("a"), finding("b")


class Monitor:
    """A fake monitoring DAG. ``report`` makes a report of the given findings, by default 15 minutes
    after the previous report. ``report`` returns the notifications to send, and treats these
    notifications as sent. The address of an owner is the owner's name.
    """

    def __init__(self) -> None:
        self.state: state.NotificationState = {}
        self.policy = NotificationPolicy()
        self.minutes = 0.0

    def report(self, *findings: Finding, after: float = 15, **fields: Any) -> list[Notification]:
        self.minutes += after
        made = make_report(*findings, minutes=self.minutes, **fields)
        notifications = state.due_notifications(self.state, self.batches(made), made, self.policy)
        for notification in notifications:
            sent = Conversation(notification.owners, "C1", "1.1", made.at)
            self.state = state.after_notification(self.state, notification, sent)
        self.state = state.after_report(self.state, made, self.policy)
        self.state = state.from_json(json.loads(json.dumps(state.to_json(self.state))), made.at)
        return notifications

    def batches(self, made: MonitoringReport) -> dict[str, Batch]:
        found = state.findings_to_notify(made, self.policy)
        owners = {owner: owner for finding in found for owner in finding.owners}
        batches, _ = batches_by_address(found, OwnerDirectory(owners, "#airflow"))
        return batches


@pytest.fixture
def monitor() -> Monitor:
    return Monitor()


def test_a_report_without_findings_has_no_notification(monitor: Monitor) -> None:
    assert monitor.report() == []


def test_a_new_finding_is_notified_once(monitor: Monitor) -> None:
    [notification] = monitor.report(A, B)
    assert (notification.address, notification.reason, notification.new) == ("team-a", NotificationReason.NEW, (A, B))
    assert monitor.report(A, B) == []
    assert monitor.report(B, A) == []


def test_each_address_gets_one_notification(monitor: Monitor) -> None:
    both = finding("shared", owners=("team-a", "team-b"))
    platform = finding("pool", owner=None)
    notifications = monitor.report(A, both, platform)
    assert {notification.address: len(notification.current) for notification in notifications} == {
        "#airflow": 1,
        "team-a": 2,
        "team-b": 1,
    }


def test_a_new_finding_is_a_reply_in_the_thread(monitor: Monitor) -> None:
    monitor.report(A)
    [notification] = monitor.report(A, B)
    assert (notification.reason, notification.new, notification.current) == (NotificationReason.CHANGED, (B,), (A, B))
    assert not notification.starts_thread


def test_a_finding_is_new_if_it_is_more_severe(monitor: Monitor) -> None:
    worse = A.model_copy(update={"severity": Severity.CRITICAL})
    monitor.report(A)
    assert monitor.report(worse)[0].new == (worse,)
    assert monitor.report(A) == []
    assert monitor.report(worse) == []


def test_a_finding_with_other_numbers_is_not_new(monitor: Monitor) -> None:
    monitor.report(A)
    assert monitor.report(A.model_copy(update={"title": "a is paused, 7 runs waiting", "numbers": {"runs": 7}})) == []


def test_open_findings_are_repeated_after_the_repeat_period(monitor: Monitor) -> None:
    monitor.report(A)
    assert monitor.report(A, after=23 * 60) == []
    [notification] = monitor.report(A, after=60)
    assert notification.reason is NotificationReason.REMINDER
    assert notification.starts_thread
    assert monitor.report(A) == []


def test_a_reply_does_not_delay_the_next_reminder(monitor: Monitor) -> None:
    monitor.report(A)
    monitor.report(A, B, after=23 * 60)
    assert monitor.report(A, B, after=60)[0].reason is NotificationReason.REMINDER


def test_a_finding_is_resolved_when_it_is_missing_for_a_while(monitor: Monitor) -> None:
    monitor.report(A, B)
    assert monitor.report(B) == []
    assert monitor.report(B) == []
    [notification] = monitor.report(B)
    assert (notification.reason, dict(notification.resolved), notification.current) == (
        NotificationReason.RESOLVED,
        {A.key: "a is paused"},
        (B,),
    )
    assert monitor.report(B) == []


def test_a_finding_that_moves_to_another_address_is_not_resolved(monitor: Monitor) -> None:
    elsewhere = finding("a", owner="team-b")
    monitor.report(A)
    [moved] = monitor.report(elsewhere)
    assert (moved.address, moved.reason) == ("team-b", NotificationReason.NEW)
    assert monitor.report(elsewhere, after=60) == []
    assert monitor.report(A) == []
    resolved = monitor.report(after=60)
    assert {(n.address, n.owners, n.reason) for n in resolved} == {
        (owner, (owner,), NotificationReason.RESOLVED) for owner in ("team-a", "team-b")
    }


@pytest.mark.parametrize(
    ("last", "all_resolved"),
    [
        pytest.param([], True, id="no finding is open"),
        pytest.param([B], False, id="a finding is open"),
        pytest.param([finding("b", owner="team-b")], False, id="a finding is open at another address"),
    ],
)
def test_all_are_resolved_if_no_finding_is_open(monitor: Monitor, last: list[Finding], all_resolved: bool) -> None:
    monitor.report(A, B)
    monitor.report(*last, after=15)
    resolved = {n.address: n for n in monitor.report(*last, after=45)}["team-a"]
    assert A.key in resolved.resolved
    assert resolved.all_resolved is all_resolved


def test_a_finding_that_is_missing_for_a_short_time_is_open(monitor: Monitor) -> None:
    monitor.report(A, B)
    monitor.report(B, after=30)
    [first] = monitor.report(after=15)
    [second] = monitor.report(after=30)
    assert (set(first.resolved), first.all_resolved) == ({A.key}, False)
    assert (set(second.resolved), second.all_resolved) == ({B.key}, True)


def test_a_finding_about_a_past_event_is_open_while_reports_have_it(monitor: Monitor) -> None:
    monitor.report(A, B, SLOW)
    [first] = monitor.report(B, SLOW, after=60)
    [second] = monitor.report(after=60)
    assert (set(first.resolved), first.all_resolved) == ({A.key}, False)
    assert (set(second.resolved), second.all_resolved) == ({B.key}, True)


class MonitorOfASharedAddress(Monitor):
    def batches(self, made: MonitoringReport) -> dict[str, Batch]:
        batches, _ = batches_by_address(state.findings_to_notify(made, self.policy), OwnerDirectory({}, "#shared"))
        return batches


def test_a_message_about_a_resolved_finding_is_for_its_owner_too() -> None:
    monitor = MonitorOfASharedAddress()
    b, c = finding("b", owner="team-b"), finding("c", owner="team-c")
    monitor.report(A, b)
    [changed] = monitor.report(b, c)
    [resolved] = monitor.report(b, c, after=45)
    assert (changed.reason, changed.owners) == (NotificationReason.CHANGED, ("team-a", "team-b", "team-c"))
    assert (resolved.reason, resolved.owners) == (NotificationReason.RESOLVED, ("team-a", "team-b", "team-c"))


def test_a_message_is_not_for_the_owner_of_a_finding_that_was_resolved_before() -> None:
    monitor = MonitorOfASharedAddress()
    b, c = finding("b", owner="team-b"), finding("c", owner="team-c")
    monitor.report(A, b)
    [resolved] = monitor.report(b, after=60)
    [changed] = monitor.report(b, c)
    assert resolved.owners == ("team-a", "team-b")
    assert changed.owners == ("team-b", "team-c")


def test_a_reminder_is_for_the_owner_of_a_finding_that_is_missing_for_a_short_time() -> None:
    monitor = MonitorOfASharedAddress()
    b = finding("b", owner="team-b")
    monitor.report(A, b)
    monitor.report(A, b, after=23 * 60 + 45)
    [reminder] = monitor.report(b)
    [resolved] = monitor.report(b, after=60)
    assert (reminder.reason, reminder.owners) == (NotificationReason.REMINDER, ("team-a", "team-b"))
    assert (set(resolved.resolved), resolved.owners) == ({A.key}, ("team-a", "team-b"))


def test_a_finding_that_comes_and_goes_is_notified_once(monitor: Monitor) -> None:
    monitor.report(A)
    said = [monitor.report(*([A] if step % 3 == 0 else [])) for step in range(30)]
    assert said == [[]] * 30


def test_a_finding_after_all_are_resolved_starts_a_thread(monitor: Monitor) -> None:
    monitor.report(A)
    assert monitor.report(after=60)[0].reason is NotificationReason.RESOLVED
    assert monitor.state == {}
    assert monitor.report(A)[0].reason is NotificationReason.NEW


def test_an_incomplete_report_resolves_no_finding(monitor: Monitor) -> None:
    monitor.report(A)
    assert monitor.report(after=600, incomplete={FindingKind.DAG_PAUSED: "only the first 10,000 DAGs were read"}) == []
    assert monitor.report(after=15)[0].reason is NotificationReason.RESOLVED


def test_a_slow_task_is_forgotten_and_never_resolved(monitor: Monitor) -> None:
    monitor.report(SLOW)
    assert monitor.report(after=60) == []
    assert monitor.report(SLOW, after=60) == []
    assert monitor.report(after=25 * 60) == []
    assert monitor.state == {}


def test_findings_below_the_least_severity_are_not_notified(monitor: Monitor) -> None:
    info = finding("info", severity=Severity.INFO)
    assert monitor.report(info) == []
    monitor.policy = NotificationPolicy(min_severity=Severity.INFO)
    assert monitor.report(info)[0].new == (info,)


def test_the_state_is_bounded_and_keeps_the_findings_seen_last() -> None:
    told = {
        f"dag_paused:{n}": NotifiedFinding(f"{n}", Severity.WARNING, NOW + timedelta(seconds=n))
        for n in range(MAX_NOTIFIED + 50)
    }
    full = {
        "team-a": Conversation(("team-a",), "C1", None, NOW, told),
        "old": Conversation(("old",), "C2", None, NOW, {"dag_paused:x": NotifiedFinding("x", Severity.WARNING, NOW)}),
    }
    kept = state.bounded(full)
    assert set(kept) == {"team-a"}
    assert len(kept["team-a"].findings) == MAX_NOTIFIED
    assert "dag_paused:0" not in kept["team-a"].findings


def test_the_bound_drops_no_finding_of_the_last_report(monitor: Monitor) -> None:
    owners = tuple(f"team-{n}" for n in range(5))
    found = [finding(f"d{n}", owners=owners) for n in range(MAX_NOTIFIED // len(owners) + 50)]
    assert len(monitor.report(*found)) == len(owners)
    assert monitor.report(*found) == []
    monitor.report(A, incomplete={FindingKind.DAG_PAUSED: "cut"})
    assert sum(len(conversation.findings) for conversation in monitor.state.values()) == MAX_NOTIFIED


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        "x",
        {"team-a": {}},
        {"team-a": None},
        {"team-a": {"target": "", "channel": "", "thread": None, "at": "yesterday", "findings": {}}},
        {"team-a": {"target": "", "channel": "", "thread": None, "at": "2026-05-04T12:00:00", "findings": {}}},
        {
            "team-a": {
                "target": "",
                "channel": "",
                "thread": None,
                "at": "2026-05-04T12:00:00Z",
                "findings": {"dag_paused:a": ["a", "warning", "2026-05-04T12:00:00"]},
            }
        },
    ],
)
def test_an_invalid_state_is_an_error(damaged: Any) -> None:
    with pytest.raises(ValueError, match="not the state of a monitor"):
        state.from_json(damaged, NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", None),
        ("target", {"a": 1}),
        ("owners", ["team-a", None]),
        ("channel", 1),
        ("thread", 1.1),
        ("at", "0001-01-01T00:00:00+14:00"),
        ("findings", {"dag_paused:a": [None, "warning", "2026-05-04T12:00:00Z"]}),
        ("findings", {"dag_paused:a": [{"a": 1}, "warning", "2026-05-04T12:00:00Z"]}),
        ("findings", {"dag_paused:a": ["a", "bad", "2026-05-04T12:00:00Z"]}),
        ("findings", {"dag_paused:a": ["a", "warning", "0001-01-01T00:00:00+14:00"]}),
        ("findings", {"dag_paused:a": ["a", "warning"]}),
        ("findings", [["dag_paused:a", "a"]]),
    ],
)
def test_a_state_with_a_value_of_another_type_is_an_error(name: str, value: Any) -> None:
    valid = {"target": "#a", "owners": ["a"], "channel": "C1", "thread": None, "at": "2026-05-04T12:00:00Z"}
    with pytest.raises(ValueError, match=f"not the state of a monitor: #a.{name}"):
        state.from_json({"#a": {**valid, "findings": {}, name: value}}, NOW)


def test_times_in_the_future_become_the_current_time(monitor: Monitor) -> None:
    monitor.report(A)
    stored = state.to_json(monitor.state)
    stored["team-a"]["at"] = "2099-01-01T00:00:00Z"
    stored["team-a"]["findings"][A.key][2] = "2099-01-01T00:00:00Z"
    monitor.state = state.from_json(stored, NOW)
    assert monitor.report() == []
    assert monitor.report(after=60)[0].reason is NotificationReason.RESOLVED


def test_a_missing_variable_is_an_empty_state() -> None:
    assert state.from_json(None, NOW) == {}


def test_findings_of_an_unknown_kind_are_dropped_from_the_state(monitor: Monitor) -> None:
    monitor.report(A)
    conversation = monitor.state["team-a"]
    odd = {"from_the_future:a": NotifiedFinding("?", Severity.WARNING, NOW)}
    monitor.state = {"team-a": replace(conversation, findings={**conversation.findings, **odd})}
    assert monitor.report(A) == []
    assert set(monitor.state["team-a"].findings) == {A.key}


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
def test_no_finding_is_notified_twice_within_the_repeat_period(reports: list[tuple[list[Finding], float]]) -> None:
    monitor = Monitor()
    told: dict[tuple[str, str], tuple[float, int]] = {}
    for found, minutes in reports:
        for notification in monitor.report(*found, after=minutes):
            for resolved in notification.resolved:
                told.pop((notification.address, resolved), None)
            for new in notification.new:
                before = told.get((notification.address, new.key))
                quiet = 24 * 60
                assert before is None or monitor.minutes - before[0] >= quiet or new.severity.rank > before[1]
                told[notification.address, new.key] = (monitor.minutes, new.severity.rank)
    assert len(json.dumps(state.to_json(monitor.state))) < 100_000


def test_the_variable_of_a_running_installation_is_read_and_written_in_its_format() -> None:
    stored = {
        "#a": {
            "target": "#a",
            "owners": ["team-a"],
            "channel": "C1",
            "thread": "1.1",
            "at": "2026-05-04T12:00:00+00:00",
            "findings": {"dag_paused:churn": ["churn is paused", "warning", "2026-05-04T12:15:00+00:00"]},
        }
    }
    read = state.from_json(stored, NOW + timedelta(minutes=15))
    seen = NotifiedFinding("churn is paused", Severity.WARNING, NOW + timedelta(minutes=15))
    assert read == {"#a": Conversation(("team-a",), "C1", "1.1", NOW, {"dag_paused:churn": seen})}
    assert state.to_json(read) == stored


def test_the_conversations_of_owners_in_an_older_variable_are_merged_by_address() -> None:
    def stored(thread: str, minute: int, *dags: str) -> dict[str, Any]:
        return {
            "target": "#airflow",
            "channel": "C1",
            "thread": thread,
            "at": f"2026-05-04T12:0{minute}:00+00:00",
            "findings": {f"dag_paused:{dag}": [dag, "warning", "2026-05-04T12:15:00+00:00"] for dag in dags},
        }

    read = state.from_json({"team-a": stored("2.2", 2, "a"), "": stored("1.1", 1, "b", "a")}, NOW)
    [(address, conversation)] = read.items()
    assert (address, conversation.owners, conversation.thread) == ("#airflow", ("", "team-a"), "2.2")
    assert set(conversation.findings) == {"dag_paused:a", "dag_paused:b"}
