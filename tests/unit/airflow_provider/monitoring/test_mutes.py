"""A mute removes findings from monitoring reports."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from mljob_airflow.monitoring.findings.mutes import MAX_CHARACTERS, MAX_MUTES, MuteResult, apply_mutes, parse
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.notifications import state
from mljob_airflow.monitoring.notifications.routing import Batch
from mljob_airflow.monitoring.notifications.state import Conversation, NotificationPolicy, NotifiedFinding
from mljob_airflow.monitoring.observations import Dag
from mljob_airflow.monitoring.pages.page import page
from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Mute, Severity
from tests.unit.airflow_provider.monitoring.reports import NOW, finding, report

LINKS = Links("https://airflow.example")
LATER, EARLIER = "2026-06-01T00:00:00Z", "2026-05-01T02:00:00+02:00"
CHURN = finding("churn")


def entry(**fields: Any) -> dict[str, Any]:
    return {"dags": "churn", "until": LATER, "reason": "on purpose"} | fields


def told(*findings: Finding, mutes: str | Iterable[Any] = (), tags: Iterable[str] = ()) -> MuteResult:
    text = mutes if isinstance(mutes, str) else json.dumps(list(mutes))
    return apply_mutes(
        findings,
        parse(text),
        lambda of: [Dag(of.dag_id, ("team-a",), tags=tuple(tags))] if of.dag_id else [],
        LINKS,
        NOW,
    )


@pytest.mark.parametrize(
    "mute",
    [
        entry(),
        entry(dags="ch*"),
        entry(dags=["other", "?hurn"]),
        entry(kinds="dag_paused"),
        entry(kinds=["paused", "stale"]),
        entry(until="2026-05-04T12:00:01+00:00"),
    ],
    ids=["id", "glob", "globs", "kind", "short names of kinds", "a second before its end"],
)
def test_a_mute_removes_and_counts_the_findings_that_it_covers(mute: dict[str, Any]) -> None:
    found = told(CHURN, finding("reports"), mutes=[mute])
    assert [kept.subject for kept in found.findings] == ["reports"]
    [reported] = found.mutes
    assert (reported.place, reported.findings, reported.keys) == ("mljob_mutes[0]", 1, (CHURN.key,))
    assert (reported.reason, reported.ended) == ("on purpose", False)


@pytest.mark.parametrize(
    "mute",
    [entry(dags="chur"), entry(dags="CHURN"), entry(kinds="dag_stale"), entry(until="2026-05-04T12:00:00Z")],
    ids=["another DAG", "another case", "another kind", "its end"],
)
def test_a_mute_keeps_findings_that_it_does_not_cover(mute: dict[str, Any]) -> None:
    found = told(CHURN, mutes=[mute])
    assert [kept.key for kept in found.findings] == [CHURN.key]
    assert found.mutes[0].findings == 0


def test_a_mute_that_has_ended_is_reported_and_the_finding_says_so() -> None:
    found = told(CHURN, finding("reports"), mutes=[entry(until=EARLIER)])
    assert [kept.detail for kept in found.findings] == [
        "Unpause it. This finding was muted until 2026-05-01 00:00 UTC: on purpose.",
        "Unpause it.",
    ]
    assert found.mutes[0].ended


@pytest.mark.parametrize(
    ("until", "ended", "end"),
    [
        ("9999-12-31T23:59:59-05:00", False, "9999-12-31 23:59 UTC"),
        ("9999-12-31T23:59:59Z", False, "9999-12-31 23:59 UTC"),
        ("0001-01-01T00:00:00+01:00", True, "1-01-01 00:00 UTC"),
    ],
)
def test_a_mute_may_end_at_the_limits_of_time(until: str, ended: bool, end: str) -> None:
    found = told(CHURN, mutes=[entry(until=until)])
    assert [mute.ended for mute in found.mutes] == [ended]
    assert [end in kept.detail for kept in found.findings] == [True] * ended
    made = report(*found.findings, mutes=found.mutes)
    assert MonitoringReport.model_validate(made.model_dump(mode="json")) == made
    assert end in page(made)


def test_a_finding_about_no_dag_is_never_muted() -> None:
    pool = finding("pool", kind=FindingKind.POOL_SATURATED, dag_id=None)
    assert told(pool, mutes=[entry(dags="*")]).findings == [pool]


@pytest.mark.parametrize(("dags", "muted"), [(["a"], True), (["a", "b"], False)], ids=["each", "one of two"])
def test_a_finding_about_several_dags_is_muted_if_each_dag_is_muted(dags: list[str], muted: bool) -> None:
    broken = finding("file.py", kind=FindingKind.IMPORT_ERROR)
    mutes = parse(json.dumps([entry(dags="a")]))
    found = apply_mutes([broken], mutes, lambda _: [Dag(dag) for dag in dags], LINKS, NOW)
    assert found.findings == ([] if muted else [broken])


@pytest.mark.parametrize(
    ("others", "was_muted"),
    [([], False), ([entry(dags="b")], True), ([entry(dags="b", until=EARLIER)], True)],
    ids=["never", "until the end of one mute", "until the end of both mutes"],
)
def test_a_finding_about_several_dags_says_that_it_was_muted_if_it_was(
    others: list[dict[str, Any]], was_muted: bool
) -> None:
    broken = finding("file.py", kind=FindingKind.IMPORT_ERROR)
    mutes = parse(json.dumps([entry(dags="a", until=EARLIER), *others]))
    [kept] = apply_mutes([broken], mutes, lambda _: [Dag("a"), Dag("b")], LINKS, NOW).findings
    assert ("was muted until" in kept.detail) is was_muted


@pytest.mark.parametrize("tag", ["mljob-mute", "mljob-mute:dag_paused", "mljob-mute:paused"])
def test_a_tag_mutes_findings_of_its_dag(tag: str) -> None:
    found = told(CHURN, tags=["nightly", tag])
    assert found.findings == []
    assert found.mutes == (Mute(place=f"tag {tag} of churn", dags=("churn",), findings=1, keys=(CHURN.key,)),)


@pytest.mark.parametrize("tag", ["mljob-mute:stale", "mljob-muted", "mute", "mljob"])
def test_other_tags_mute_nothing(tag: str) -> None:
    assert told(CHURN, tags=[tag]).findings == [CHURN]


def test_a_tag_without_a_valid_kind_is_a_finding_for_the_owner() -> None:
    kept = told(CHURN, tags=["mljob-mute:pausd"]).findings
    assert kept[0] == CHURN
    [complaint] = kept[1:]
    assert (complaint.kind, complaint.owners) == (FindingKind.MUTE_UNREADABLE, ("team-a",))
    assert complaint.title == "The tag mljob-mute:pausd of churn mutes nothing"
    assert "dag_paused, dag_stale" in complaint.detail


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("{not json", "mljob_mutes", "It is not JSON"),
        ("[" * 100_000, "mljob_mutes", "It is not JSON"),
        ('{"dags": "x"}', "mljob_mutes", "It is a dict: it must be a JSON list of objects with dags, until and reason."),
        ("[" + " " * MAX_CHARACTERS + "]", "mljob_mutes", f"and may have at most {MAX_CHARACTERS}"),
        ("[1]", "mljob_mutes[0]", "Input should be"),
        ([{"dags": "churn", "reason": "x"}], "mljob_mutes[0]", "Field until is required."),
        ([{"dags": "churn", "until": LATER}], "mljob_mutes[0]", "Field reason is required."),
        ([entry(reason="")], "mljob_mutes[0]", "Field reason: String should have at least 1 character."),
        ([{"until": LATER, "reason": "x"}], "mljob_mutes[0]", "Field dags is required."),
        ([entry(dags=[])], "mljob_mutes[0]", "Field dags:"),
        ([entry(dags="")], "mljob_mutes[0]", "Field dags.0:"),
        ([entry(kinds=["paused", "slow"])], "mljob_mutes[0]", "Field kinds.1: 'slow' is not a kind of finding; the kinds are dag_paused"),
        ([entry(kinds="mute_unreadable")], "mljob_mutes[0]", "is not a kind of finding"),
        ([entry(until="2026-06-01")], "mljob_mutes[0]", "'2026-06-01' is not a date and a time with a time zone, for example 2026-06-01T00:00:00Z."),
        ([entry(until="2026-06-01T00:00:00")], "mljob_mutes[0]", "for example 2026-06-01T00:00:00Z"),
        ([entry(until=1780000000)], "mljob_mutes[0]", "1780000000 is not a date and a time"),
        ([entry(unti=LATER)], "mljob_mutes[0]", "Field unti: Extra inputs are not permitted"),
    ],
)  # fmt: skip
def test_an_invalid_mute_mutes_nothing_and_is_a_finding(text: Any, place: str, why: str) -> None:
    kept = told(CHURN, mutes=text).findings
    assert kept[0] == CHURN
    [complaint] = kept[1:]
    assert (complaint.kind, complaint.subject, complaint.owners) == (FindingKind.MUTE_UNREADABLE, place, ())
    assert complaint.title == f"{place} is invalid, and mutes nothing"
    assert why in complaint.detail
    assert len(complaint.detail) < 400


def test_an_invalid_mute_does_not_affect_the_others() -> None:
    found = told(CHURN, mutes=[entry(until="tomorrow"), entry()])
    assert [kept.kind for kept in found.findings] == [FindingKind.MUTE_UNREADABLE]


def test_a_finding_about_an_invalid_mute_is_never_muted() -> None:
    found = told(mutes=[entry(dags="*"), {}], tags=["mljob-mute"])
    assert [kept.subject for kept in found.findings] == ["mljob_mutes[1]"]


def test_the_number_of_mutes_is_bounded() -> None:
    found = told(CHURN, mutes=[entry(dags="x")] * MAX_MUTES + [entry()])
    assert [kept.subject for kept in found.findings] == ["churn", "mljob_mutes[100:]"]
    assert "only the first 100 are read" in found.findings[1].detail


@pytest.mark.parametrize("text", [None, "", " ", "[]"])
def test_an_empty_variable_mutes_nothing(text: str | None) -> None:
    assert apply_mutes([CHURN], parse(text), lambda _: [Dag("churn")], LINKS, NOW).findings == [CHURN]


def test_the_number_of_muted_findings_in_a_report_is_bounded() -> None:
    found = told(*(finding(f"d{number}") for number in range(600)), mutes=[entry(dags="*")])
    assert (found.mutes[0].findings, len(found.mutes[0].keys)) == (600, 500)
    assert found.cut == {FindingKind.DAG_PAUSED}


class TestNotifications:
    MUTED = report(minutes=120, muted=1, mutes=(Mute(place="mljob_mutes[0]", findings=1, keys=(CHURN.key,)),))
    STATE = {  # noqa: RUF012
        "#a": Conversation(
            ("team-a",), "C1", "1.0", NOW, {CHURN.key: NotifiedFinding("churn is paused", Severity.WARNING, NOW)}
        )
    }

    def test_a_muted_finding_is_not_resolved(self) -> None:
        assert state.due_notifications(self.STATE, {}, report(minutes=120), NotificationPolicy()) != []
        assert state.due_notifications(self.STATE, {}, self.MUTED, NotificationPolicy()) == []

    def test_a_muted_finding_is_new_when_its_mute_ends(self) -> None:
        later = state.after_report(self.STATE, self.MUTED, NotificationPolicy())
        batches = {"#a": Batch(["team-a"], [CHURN])}
        [notification] = state.due_notifications(later, batches, report(CHURN, minutes=135), NotificationPolicy())
        assert notification.new == (CHURN,)

    def test_a_missing_finding_stays_in_the_state_for_a_while(self) -> None:
        assert state.after_report(self.STATE, report(minutes=15), NotificationPolicy()) == self.STATE


def test_the_page_lists_the_mutes_with_their_findings_and_ends() -> None:
    ended = Mute(place="mljob_mutes[0]", dags=("a<b",), until=NOW - timedelta(days=1), reason="R&D", ended=True)
    active = Mute(place="tag mljob-mute of x", dags=("x",), kinds=(FindingKind.DAG_PAUSED,), findings=3)
    text = page(report(muted=3, mutes=(ended, active)))
    assert "<title>mljob_monitor: no findings, 3 muted</title>" in text
    assert 'Muted <span class="soft">3</span>' in text
    assert "a&lt;b: all kinds" in text
    assert "R&amp;D" in text
    assert "This mute has ended: it was active until 2026-05-03 12:00 UTC. Remove it, or set a later end" in text
    assert "x: paused DAG" in text
    assert "3 findings muted" in text
