"""The monitoring of Airflow reports each problem as a finding. A finding names the affected MLJobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mljob_airflow.monitoring.findings import bottlenecks, failures, outliers
from mljob_airflow.monitoring.findings.fingerprints import ErrorText
from mljob_airflow.monitoring.findings.health import Health, Need, health_findings
from mljob_airflow.monitoring.findings.mljobs import MAX_NAMED, finding_fields, mljob_name
from mljob_airflow.monitoring.findings.stuck import stuck_runs, stuck_tasks
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.notifications.messages import message
from mljob_airflow.monitoring.notifications.state import Notification, NotificationReason
from mljob_airflow.monitoring.observations import BrokenFile, Dag, QueuedRun, TaskInstance
from mljob_airflow.monitoring.pages.page import page
from mljob_airflow.monitoring.thresholds import Thresholds
from mljob_contract.reports import Finding, MonitoringReport
from mljob_contract.run_id import RunId

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LINKS = Links("https://airflow.example")
CHURN = Dag("churn", ("team-a",), bundle="b", file="churn.py")


def run_id(number: int = 0, name: str = "churn.v2") -> str:
    return str(RunId("mljob", "team-a", name, "abcdefg234", number + 1))


def instance(number: int, **fields: Any) -> TaskInstance:
    return TaskInstance("churn", run_id(number), "fit", **fields)


def stuck_run() -> list[Finding]:
    return stuck_runs([QueuedRun("churn", run_id(), NOW - timedelta(hours=1))], {}, {}, LINKS, minutes=30, now=NOW)


def stuck_task() -> list[Finding]:
    waiting = [instance(0, state="queued", queued=NOW - timedelta(hours=1))]
    return stuck_tasks(waiting, {}, LINKS, minutes=30, now=NOW)


def failure() -> list[Finding]:
    failed = [instance(number, state="failed") for number in range(3)]
    last = failures.last_runs(CHURN, "fit", failed, failed, runs=3)
    last.errors.update({ti.run_id: ErrorText("ValueError", "no") for ti in failed})
    return failures.recurring(last, LINKS, times=3)


def slow() -> list[Finding]:
    history = [instance(n, state="success", duration=9000.0 if n < 3 else 100.0, start=NOW, end=NOW) for n in range(40)]
    return outliers.outlier_findings(
        CHURN, "fit", history, LINKS, slow_seconds=60, wait_seconds=60, min_history=20, since=NOW, now=NOW
    )


def retries() -> list[Finding]:
    retried = [instance(number, try_number=2, state="success") for number in range(9)]
    window = bottlenecks.window_of(NOW, 24)
    return bottlenecks.bottleneck_findings(retried, [], {}, window, Thresholds(), LINKS)


def broken() -> list[Finding]:
    file = BrokenFile("churn.py", "b", NOW, "ImportError: no")
    return health_findings(Health({"churn": CHURN}, [file], {"churn": Need(mljob_runs=[run_id()])}), LINKS)


@pytest.mark.parametrize("find", [stuck_run, stuck_task, failure, slow, retries, broken])
def test_a_finding_names_the_mljob(find: Callable[[], list[Finding]]) -> None:
    [finding] = find()
    assert finding.mljobs == ("team-a/churn.v2",)
    assert finding.numbers["mljobs"] == 1
    report = MonitoringReport(monitor="m", at=NOW, findings=(finding,))
    assert "team-a/churn.v2" in page(report)
    assert "team-a/churn.v2" in str(
        message(Notification("#team-a", ("team-a",), NotificationReason.NEW, (finding,), (finding,)))
    )


def test_a_finding_counts_all_mljobs_and_names_some() -> None:
    fields = finding_fields([run_id(0, f"job-{number}") for number in range(40)] * 2, "Why.", {"runs": 80})
    assert fields["detail"] == "40 MLJobs: team-a/job-0, team-a/job-1, team-a/job-2 and 37 more. Why."
    assert fields["numbers"] == {"runs": 80, "mljobs": 40}
    assert len(fields["mljobs"]) == MAX_NAMED


@pytest.mark.parametrize("run_id", ["manual__2026", "backfill__2026-01-01T00:00:00+00:00", "", "mljob.a.b-1"])
def test_a_run_that_the_operator_did_not_start_has_no_mljob(run_id: str) -> None:
    assert mljob_name(run_id) is None
    assert finding_fields([run_id], "Why.", {"runs": 1}) == {"detail": "Why.", "numbers": {"runs": 1}}
