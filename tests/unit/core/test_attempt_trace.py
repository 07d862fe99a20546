from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mljob_operator.core.mljob.attempt_trace import AttemptTrace
from tests.pages import ROOT

from .test_timeline import AGAIN, CREATED, ENDED, QUEUED, RUNNING, at, job

RUN = "mljob.team-a.churn.n3s7nmusm7-1"
STORED = CREATED + timedelta(seconds=72)


def trace(stored: float = 72, **status: Any) -> AttemptTrace | None:
    found = job({"type": "Training"}, dagId="train", dagRunId=RUN, **status)
    assert not found.stored.is_invalid
    return AttemptTrace.of(found, found.status, CREATED + timedelta(seconds=stored))


def test_trace_goes_from_apply_to_the_stored_verdict() -> None:
    found = trace(**ENDED)
    assert found is not None
    lengths = {name: stage.seconds for name, stage in found.parts.items()}
    assert lengths == {"submission": 3.5, "queue": 6.5, "run": 60, "verdict": 2}
    assert (found.whole.begins_at, found.whole.ends_at) == (CREATED, STORED)
    assert not found.succeeded
    assert found.attributes == {
        "k8s.namespace.name": "team-a",
        "mljob.name": "churn",
        "mljob.type": "Training",
        "mljob.attempt": 1,
        "mljob.phase": "Failed",
        "mljob.reason": "TaskFailed",
        "mljob.airflow_instance": "",
        "airflow.dag_id": "train",
        "airflow.dag_run.run_id": RUN,
    }


@pytest.mark.parametrize("status", [{}, {"attempts": 1, "phase": "Pending"}, QUEUED, RUNNING])
def test_an_attempt_in_progress_has_no_trace(status: dict[str, Any]) -> None:
    assert trace(**status) is None


def test_ids_follow_from_the_run_and_the_attempt() -> None:
    found, again = trace(**ENDED), trace(**ENDED)
    assert found is not None
    assert again is not None
    assert f"{found.trace_id:032x}" == hashlib.sha256(f"{RUN}#1".encode()).hexdigest()[:32]
    assert again.trace_id == found.trace_id
    ids = [found.span_id(name) for name in ("attempt", *found.parts)]
    assert ids == [again.span_id(name) for name in ("attempt", *found.parts)]
    assert len(set(ids)) == 5
    assert all(0 < number < 2**64 for number in ids)


def test_documented_command_prints_the_id_of_the_trace() -> None:
    page = (ROOT / "docs" / "operations" / "traces.md").read_text()
    found = re.search(r"printf %s '(.+)#(\d+)' \| sha256sum \| cut -c1-32\n([0-9a-f]{32})\n", page)
    assert found is not None
    run_id, number, printed = found.groups()
    template = trace(**ENDED)
    assert template is not None
    assert f"{replace(template, run_id=run_id, number=int(number)).trace_id:032x}" == printed


def test_each_attempt_of_a_cleared_run_has_a_trace_of_its_own() -> None:
    first = trace(**{key: value for key, value in AGAIN.items() if key != "dagRunId"})
    second = trace(**ENDED | {"attempts": 2, "submitTime": at(80), "startTime": at(90), "completionTime": at(99)})
    assert first is not None
    assert second is not None
    assert first.trace_id != second.trace_id


def test_an_attempt_without_a_run_has_the_stages_that_it_had() -> None:
    found = trace(attempts=1, phase="Cancelled", reason="Cancelled", completionTime=at(5))
    assert found is not None
    assert list(found.parts) == ["verdict"]


def test_a_verdict_is_not_stored_before_the_end() -> None:
    # Airflow's clock is ahead of the operator's clock.
    found = trace(stored=60, **ENDED)
    assert found is not None
    assert found.parts["verdict"].seconds == 0
    assert found.whole.seconds == 70
