from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Severity

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def finding(subject: str = "churn", owner: str | None = "team-a", **fields: Any) -> Finding:
    given = {
        "kind": FindingKind.DAG_PAUSED,
        "owners": () if owner is None else (owner,),
        "title": f"{subject} is paused",
        "detail": "Unpause it.",
        "url": f"https://airflow.example/dags/{subject}",
        "dag_id": subject,
    }
    return Finding(subject=subject, **given | fields)


def report(*findings: Finding, minutes: float = 0, **fields: Any) -> MonitoringReport:
    return MonitoringReport(monitor="mljob_monitor", at=NOW + timedelta(minutes=minutes), findings=findings, **fields)


SLOW = finding("slow", kind=FindingKind.SLOW_TASK, title="slow.fit took 9 h")
CRITICAL = finding("stuck", severity=Severity.CRITICAL)
