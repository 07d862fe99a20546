"""What is told, to whom, and how often: once, then only what is new, worse or over."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.notifications import state as remembering
from mljob_airflow.monitoring.notifications.state import MAX_REMEMBERED, Conversation, Occasion, Quiet, Told
from mljob_contract.reports import FindingKind, Severity
from tests.unit.airflow_provider.monitoring.reports import NOW, SLOW, finding, report

A, B = finding("a"), finding("b")


class Teller:
    """Looks one after the other, every quarter of an hour, and what was said after each."""

    def __init__(self) -> None:
        self.memory: remembering.Memory = {}
        self.quiet = Quiet()
        self.minutes = 0.0

    def look(self, *findings, after: float = 15, **fields):
        self.minutes += after
        made = report(*findings, minutes=self.minutes, **fields)
        notices = remembering.news(self.memory, made, self.quiet)
        for notice in notices:
            self.memory = remembering.after(self.memory, notice, Conversation("#a", "C1", "1.1", made.at))
        self.memory = remembering.seen(self.memory, made, self.quiet)
        self.memory = remembering.from_json(json.loads(json.dumps(remembering.to_json(self.memory))))
        return notices


@pytest.fixture
def teller() -> Teller:
    return Teller()


def test_nothing_wrong_is_not_said(teller):
    assert teller.look() == []


def test_what_is_new_is_said_once(teller):
    [notice] = teller.look(A, B)
    assert (notice.owner, notice.occasion, notice.fresh) == ("team-a", Occasion.NEW, (A, B))
    assert teller.look(A, B) == []
    assert teller.look(B, A) == []


def test_each_owner_gets_one_message_and_two_owners_both_get_theirs(teller):
    both = finding("shared", owners=("team-a", "team-b"))
    platform = finding("pool", owner=None)
    notices = teller.look(A, both, platform)
    assert {notice.owner: len(notice.present) for notice in notices} == {"": 1, "team-a": 2, "team-b": 1}


def test_something_new_is_said_in_the_thread(teller):
    teller.look(A)
    [notice] = teller.look(A, B)
    assert (notice.occasion, notice.fresh, notice.present) == (Occasion.CHANGED, (B,), (A, B))
    assert not notice.begins_a_thread


def test_worse_is_new_and_better_is_not(teller):
    worse = A.model_copy(update={"severity": Severity.CRITICAL})
    teller.look(A)
    assert teller.look(worse)[0].fresh == (worse,)
    assert teller.look(A) == []
    assert teller.look(worse) == []


def test_other_numbers_are_no_news(teller):
    teller.look(A)
    assert teller.look(A.model_copy(update={"title": "a is paused, 7 runs waiting", "numbers": {"runs": 7}})) == []


def test_after_a_quiet_period_what_is_still_wrong_is_said_again(teller):
    teller.look(A)
    assert teller.look(A, after=23 * 60) == []
    [notice] = teller.look(A, after=60)
    assert notice.occasion is Occasion.STILL
    assert notice.begins_a_thread
    assert teller.look(A) == []


def test_a_reply_does_not_put_off_the_next_reminder(teller):
    teller.look(A)
    teller.look(A, B, after=23 * 60)
    assert teller.look(A, B, after=60)[0].occasion is Occasion.STILL


def test_what_is_over_is_said_when_it_has_stayed_away_for_a_while(teller):
    teller.look(A, B)
    assert teller.look(B) == []
    assert teller.look(B) == []
    [notice] = teller.look(B)
    assert (notice.occasion, dict(notice.over), notice.present) == (Occasion.OVER, {A.key: "a is paused"}, (B,))
    assert teller.look(B) == []


def test_what_flickers_is_told_once(teller):
    teller.look(A)
    said = [teller.look(*([A] if step % 3 == 0 else [])) for step in range(30)]
    assert said == [[]] * 30


def test_when_all_is_over_the_next_trouble_begins_a_conversation(teller):
    teller.look(A)
    assert teller.look(after=60)[0].occasion is Occasion.OVER
    assert teller.memory == {}
    assert teller.look(A)[0].occasion is Occasion.NEW


def test_what_was_not_looked_at_in_full_is_not_over(teller):
    teller.look(A)
    assert teller.look(after=600, incomplete={FindingKind.DAG_PAUSED: "only the first 10,000 DAGs were read"}) == []
    assert teller.look(after=15)[0].occasion is Occasion.OVER


def test_a_slow_run_is_never_over_it_is_forgotten(teller):
    teller.look(SLOW)
    assert teller.look(after=60) == []
    assert teller.look(SLOW, after=60) == []
    assert teller.look(after=25 * 60) == []
    assert teller.memory == {}


def test_what_matters_too_little_is_not_said(teller):
    info = finding("info", severity=Severity.INFO)
    assert teller.look(info) == []
    teller.quiet = Quiet(min_severity=Severity.INFO)
    assert teller.look(info)[0].fresh == (info,)


def test_the_memory_is_bounded_and_keeps_what_was_seen_last():
    told = {
        f"dag_paused:{n}": Told(f"{n}", Severity.WARNING, NOW + timedelta(seconds=n))
        for n in range(MAX_REMEMBERED + 50)
    }
    full = {
        "team-a": Conversation("#a", "C1", None, NOW, told),
        "old": Conversation("#b", "C2", None, NOW, {"dag_paused:x": Told("x", Severity.WARNING, NOW)}),
    }
    kept = remembering.bounded(full)
    assert set(kept) == {"team-a"}
    assert len(kept["team-a"].findings) == MAX_REMEMBERED
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
    with pytest.raises(ValueError, match="not a monitor's memory"):
        remembering.from_json(damaged)


def test_no_memory_is_an_empty_one():
    assert remembering.from_json(None) == {}


def test_a_kind_that_this_version_does_not_know_is_dropped(teller):
    teller.look(A)
    conversation = teller.memory["team-a"]
    odd = {"from_the_future:a": Told("?", Severity.WARNING, NOW)}
    teller.memory = {"team-a": replace(conversation, findings={**conversation.findings, **odd})}
    assert teller.look(A) == []
    assert set(teller.memory["team-a"].findings) == {A.key}


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
        for notice in teller.look(*found, after=minutes):
            for over in notice.over:
                told.pop((notice.owner, over), None)
            for fresh in notice.fresh:
                before = told.get((notice.owner, fresh.key))
                quiet = 24 * 60
                assert before is None or teller.minutes - before[0] >= quiet or fresh.severity.rank > before[1]
                told[notice.owner, fresh.key] = (teller.minutes, fresh.severity.rank)
    assert len(json.dumps(remembering.to_json(teller.memory))) < 100_000
