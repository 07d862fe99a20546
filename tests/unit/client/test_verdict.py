"""Whether and how an MLJob has ended."""

from __future__ import annotations

from typing import Any

import pytest

from mljob.resource import RETRY_REQUESTED_AT, MLJob
from mljob.verdict import Verdict, has_ended, verdict_of
from tests.unit.client.statuses import Status, cancelled, condition, failed, refused, running, stalled, succeeded

RETRY = {"annotations": {RETRY_REQUESTED_AT: "2"}}
AGAIN = [condition("Complete", "True"), condition("Reconciling", "True"), condition("Stalled", "False")]
SUSPENDED = [condition("Suspended", "True"), condition("Reconciling", "False"), condition("Stalled", "False")]

WAITS_FOR_A_CHANGE = [
    condition("Complete", "True", observedGeneration=1),
    condition("Reconciling", "False", observedGeneration=2),
    condition("Stalled", "True", observedGeneration=2),
]


@pytest.mark.parametrize(
    ("status", "metadata", "verdict"),
    [
        ({}, {}, None),
        ({"observedGeneration": -1}, {}, None),
        (running(), {}, None),
        (succeeded(), {}, Verdict.SUCCEEDED),
        (failed(), {}, Verdict.FAILED),
        (cancelled(), {}, Verdict.CANCELLED),
        (stalled(), {}, Verdict.STALLED),
        (succeeded(conditions=AGAIN), {}, None),
        (running(phase="Suspended", conditions=SUSPENDED), {}, None),
        (succeeded(), {"generation": 2}, None),
        (stalled(), {"generation": 2}, None),
        (succeeded(observedGeneration=2), {"generation": 2}, Verdict.SUCCEEDED),
        (refused(), {"generation": 2}, Verdict.STALLED),
        (refused(), {"generation": 3}, None),
        (succeeded(conditions=WAITS_FOR_A_CHANGE), {"generation": 2}, Verdict.STALLED),
        (failed(conditions=[condition("Failed", "True"), *WAITS_FOR_A_CHANGE[1:]]), {"generation": 2}, Verdict.STALLED),
        (succeeded(conditions=WAITS_FOR_A_CHANGE), {"generation": 3}, None),
        (refused(), {"generation": 2, **RETRY}, None),
        (failed(), RETRY, None),
        (failed(lastHandledRetry="1"), RETRY, None),
        (failed(lastHandledRetry="2"), RETRY, Verdict.FAILED),
        (succeeded(), RETRY, None),
        (cancelled(), RETRY, Verdict.CANCELLED),
        (cancelled(), {"generation": 5}, Verdict.CANCELLED),
        (failed(lastHandledRetry="x" * 253), {"annotations": {RETRY_REQUESTED_AT: "x" * 300}}, Verdict.FAILED),
        ({"conditions": "odd", "observedGeneration": True, "phase": 7}, {}, None),
        ({"conditions": [7, {"type": []}]}, {}, None),
    ],
)
def test_verdict(status: Status, metadata: dict[str, Any], verdict: Verdict | None) -> None:
    job = MLJob({"metadata": {"name": "a", "generation": 1, **metadata}, "status": status})

    assert verdict_of(job) is verdict


@pytest.mark.parametrize(
    ("status", "ended"),
    [(succeeded(), True), (failed(), True), (cancelled(), True), (stalled(), False), (running(), False), ({}, False)],
)
def test_stalled_mljob_has_not_ended(status: Status, ended: bool) -> None:
    assert has_ended(MLJob({"metadata": {"name": "a", "generation": 1}, "status": status})) is ended
