"""Reports of monitoring DAGs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Mute, Series, Severity, Table

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def finding(**fields: Any) -> Finding:
    return Finding.model_validate({"kind": "recurring_failure", "subject": "churn.fit", "title": "fails"} | fields)


def test_severities_are_ranked_from_info_to_critical() -> None:
    assert sorted(Severity, key=lambda severity: severity.rank) == [
        Severity.INFO,
        Severity.WARNING,
        Severity.CRITICAL,
    ]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        pytest.param({}, "recurring_failure:churn.fit", id="kind and subject"),
        pytest.param({"variant": "a1b2"}, "recurring_failure:churn.fit:a1b2", id="with the fingerprint of an error"),
        pytest.param({"kind": FindingKind.SLOW_TASK}, "slow_task:churn.fit", id="another kind"),
    ],
)
def test_the_key_identifies_the_problem(fields: dict[str, Any], key: str) -> None:
    assert finding(**fields).key == key


def test_the_key_stays_while_the_problem_gets_worse() -> None:
    before = finding(title="failed 3 times", numbers={"failures": 3})
    after = finding(title="failed 9 times", numbers={"failures": 9}, severity=Severity.CRITICAL, since=AT)
    assert before.key == after.key


def test_the_muted_keys_are_those_of_all_mutes() -> None:
    mutes = (
        Mute(place="mljob_mutes[0]", keys=("a", "b")),
        Mute(place="tag mljob-mute of churn", keys=("b", "c")),
        Mute(place="mljob_mutes[1]", ended=True),
    )
    assert MonitoringReport(monitor="mljob_monitor", at=AT, mutes=mutes).muted_keys == {"a", "b", "c"}


REPORT = MonitoringReport(
    monitor="mljob_monitor",
    at=AT,
    findings=(finding(owners=("team-a",), mljobs=("team-a/churn",), history=(1.5, 2.0), since=AT),),
    tables=(Table(title="Pools", columns=("pool", "slots"), rows=(("gpu", 4),), links=(None,)),),
    series=(Series(title="gpu", start=AT, step_seconds=60, values=(1, 2), limit=4),),
    mutes=(Mute(place="mljob_mutes[0]", until=AT),),
    incomplete={FindingKind.SLOW_TASK: "Airflow answered HTTP 500"},
)


def test_a_report_is_read_as_it_was_sent() -> None:
    assert MonitoringReport.model_validate_json(REPORT.model_dump_json()) == REPORT


def sent(**changes: Any) -> str:
    return json.dumps(json.loads(REPORT.model_dump_json()) | changes)


def test_a_field_that_a_later_provider_adds_is_ignored() -> None:
    assert MonitoringReport.model_validate_json(sent(colour="blue")) == REPORT


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"report_version": 2}, "report_version", id="another version"),
        pytest.param({"at": "noon"}, "at", id="a time that is no time"),
        pytest.param(
            {"findings": [{"kind": "gremlins", "subject": "churn", "title": "?"}]}, "findings", id="unknown kind"
        ),
        pytest.param(
            {"series": [{"title": "gpu", "start": "2026-01-01T12:00:00Z", "step_seconds": 0, "values": [1]}]},
            "series",
            id="a plot without steps in time",
        ),
    ],
)
def test_a_report_that_a_reader_can_not_interpret_is_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MonitoringReport.model_validate_json(sent(**changes))
    assert {error["loc"][0] for error in caught.value.errors()} == {field}
