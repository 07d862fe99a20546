"""A report that is too large for Kafka loses its least important parts, and says so."""

from __future__ import annotations

from typing import Any

import pytest

from mljob_airflow.monitoring.report_limits import MAX_BYTES, within_limits
from mljob_airflow.monitoring.report_message import message_from_report
from mljob_contract.reports import MAX_FINDINGS, Finding, FindingKind, MonitoringReport, Mute, Severity

from .reports import CRITICAL, finding, report


def bytes_of(given: MonitoringReport) -> int:
    return len(message_from_report(given, event_id="1").value)


def slow(number: int, detail_bytes: int = 0, **fields: Any) -> Finding:
    return finding(
        f"d{number:03}", kind=FindingKind.SLOW_TASK, detail="x" * detail_bytes, history=(0.1,) * 60, **fields
    )


def muted(number: int) -> Mute:
    return Mute(place=f"tag mljob-mute of d{number}", findings=1, keys=(f"dag_paused:{'d' * 1000}{number}",))


def test_a_small_report_keeps_everything_and_is_sorted_by_severity() -> None:
    given = report(slow(1), CRITICAL, mutes=(muted(1),), muted=1)
    assert within_limits(given) == given.model_copy(update={"findings": (CRITICAL, slow(1))})


def test_a_large_report_loses_the_history_first() -> None:
    given = report(*(slow(number, 1500) for number in range(MAX_FINDINGS)), mutes=(muted(1),))
    assert bytes_of(given) > MAX_BYTES
    shorter = within_limits(given)
    assert bytes_of(shorter) <= MAX_BYTES
    without_history = tuple(each.model_copy(update={"history": ()}) for each in given.findings)
    assert shorter == given.model_copy(update={"findings": without_history})


def test_a_larger_report_loses_the_keys_of_muted_findings() -> None:
    mutes = tuple(muted(number) for number in range(400))
    given = report(*(slow(number, 1000) for number in range(MAX_FINDINGS)), mutes=mutes, muted=400)
    shorter = within_limits(given)
    assert bytes_of(shorter) <= MAX_BYTES
    assert [each.key for each in shorter.findings] == [each.key for each in given.findings]
    assert [each.place for each in shorter.mutes] == [each.place for each in mutes]
    assert (shorter.muted, shorter.muted_keys) == (400, frozenset())
    assert shorter.incomplete.keys() == {FindingKind.DAG_PAUSED}


def test_an_even_larger_report_loses_findings_of_the_owner_with_the_most() -> None:
    many = [slow(number, 3000, severity=Severity.CRITICAL) for number in range(MAX_FINDINGS - 1)]
    one = finding("prod", "team-b", kind=FindingKind.LONG_WAIT)
    shorter = within_limits(report(*many, one, incomplete={FindingKind.SLOW_TASK: "403"}))
    assert MAX_BYTES - 4000 < bytes_of(shorter) <= MAX_BYTES
    assert [each.key for each in shorter.findings] == [
        *(each.key for each in many[: len(shorter.findings) - 1]),
        one.key,
    ]
    assert shorter.incomplete == {FindingKind.SLOW_TASK: "403"}


def test_a_lost_finding_makes_its_kind_incomplete() -> None:
    huge = finding("huge", detail="x" * MAX_BYTES)
    shorter = within_limits(report(huge, CRITICAL, slow(1)))
    assert {each.subject for each in shorter.findings} == {"stuck", "d001"}
    why = "the report has only the findings that fit into 900000 bytes"
    assert shorter.incomplete == {FindingKind.DAG_PAUSED: why}


@pytest.mark.parametrize("letter", ["d", "ä"])
def test_mutes_leave_room_for_findings(letter: str) -> None:
    mutes = tuple(Mute(place=f"tag of {letter * 3000}{number}") for number in range(900))
    shorter = within_limits(report(CRITICAL, slow(1), mutes=mutes))
    assert bytes_of(shorter) <= MAX_BYTES
    assert len(shorter.findings) == 2
    assert shorter.mutes == mutes[: len(shorter.mutes)]
    assert shorter.mutes
