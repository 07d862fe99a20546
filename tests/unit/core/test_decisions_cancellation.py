from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from .situations import (
    CancelDirectly,
    CheckCancellation,
    Given,
    ListTasks,
    LookUpRun,
    MLJob,
    Store,
    TriggerCancellation,
    Wait,
    ago,
    backfill,
    backfill_job,
    cancelling,
    decided,
    error,
    given,
    job,
    later,
    not_found,
    queued,
    reported,
    running,
    succeeded,
    under_way,
    unread,
)

BY_REST = job(cancel=True, cancellation={"strategy": "Api"})


def under_cancellation(of: MLJob | None = None, **known: Any) -> Given:
    return given(of or job(cancel=True), announced="CancelRequested", **{"run": running()} | known)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(under_cancellation(), TriggerCancellation(), id="the cancellation DAG first"),
        pytest.param(under_cancellation(run=queued()), TriggerCancellation(), id="also of a run that is queued"),
        pytest.param(under_cancellation(BY_REST), CancelDirectly(), id="REST with Api"),
        pytest.param(
            under_cancellation(backfill_job(cancel=True), run=backfill({"2025-12-01": "running"})),
            CancelDirectly(),
            id="REST for a backfill",
        ),
        pytest.param(
            under_cancellation(cancel_dag_refused="it is paused"), CancelDirectly(), id="REST where the DAG can't"
        ),
        pytest.param(under_cancellation(cancel_dag_at=ago(20)), CheckCancellation(), id="has the DAG's run begun?"),
        pytest.param(
            under_cancellation(cancel_dag_at=ago(20), cancel_dag_checked=ago(0)),
            CancelDirectly(),
            id="REST where it has not",
        ),
        pytest.param(
            under_cancellation(cancel_dag_at=ago(159), cancel_dag_checked=ago(59), cancel_dag_running=True),
            LookUpRun(),
            id="a DAG that runs has more time",
        ),
        pytest.param(
            under_cancellation(cancel_dag_at=ago(80), cancel_dag_checked=ago(60), cancel_dag_running=True),
            CancelDirectly(),
            id="REST where that was not enough",
        ),
        pytest.param(under_cancellation(BY_REST, cancelled_at=ago(10)), CancelDirectly(), id="REST again"),
        pytest.param(
            given(job(deleted=ago(300)), announced="Cancelling", run=running(), cancel_dag_at=ago(5)),
            CancelDirectly(),
            id="REST where the deletion has waited long enough",
        ),
        pytest.param(
            under_cancellation(cancel_dag_at=ago(5), looked_up=ago(5)), LookUpRun(), id="is the run over by now?"
        ),
        pytest.param(
            given(job(cancel=True), status=cancelling("CancelRequested"), run=unread()),
            LookUpRun(),
            id="is there a run, after a restart?",
        ),
        pytest.param(
            given(job(cancel=True), status=cancelling("CancelRequested", submitted=None), run=unread()),
            LookUpRun(),
            id="is there a run, where the submission was not answered?",
        ),
        pytest.param(
            under_cancellation(error=error(starting=True)),
            TriggerCancellation(),
            id="it does not wait for what failed at the start",
        ),
        pytest.param(
            under_cancellation(error=error(generation=2)),
            TriggerCancellation(),
            id="it does not wait for what failed with another spec",
        ),
    ],
)
def test_cancel_the_run_acts(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize(
    ("situation", "until"),
    [
        pytest.param(under_cancellation(cancel_dag_at=ago(3)), later(2), id="until the run is looked up"),
        pytest.param(
            under_cancellation(cancel_dag_at=ago(18), looked_up=ago(1)),
            later(2),
            id="for the cancellation DAG to begin",
        ),
        pytest.param(
            under_cancellation(
                cancel_dag_at=ago(78), cancel_dag_checked=ago(58), cancel_dag_running=True, looked_up=ago(1)
            ),
            later(2),
            id="for the cancellation DAG to end",
        ),
        pytest.param(
            under_cancellation(BY_REST, cancelled_at=ago(8), looked_up=ago(0)),
            later(2),
            id="for the cancellation to show",
        ),
        pytest.param(under_cancellation(error=error(again=later(5))), later(5), id="until what failed is tried again"),
        pytest.param(
            given(job(deleted=ago(297)), announced="Cancelling", run=running(), error=error(again=later(5))),
            later(3),
            id="no longer than the deletion does",
        ),
        pytest.param(
            given(job(deleted=ago(299)), announced="Cancelling", run=running(), cancel_dag_at=ago(1)),
            later(1),
            id="no longer than the deletion does, for the DAG",
        ),
        pytest.param(
            given(job(cancel=True), status=cancelling("CancelRequested"), run=not_found(since=ago(1))),
            later(2),
            id="until a missing run can be proved to be gone",
        ),
        pytest.param(
            under_cancellation(
                run=not_found(since=ago(90), again=True, after=running()), vanished=True, looked_up=ago(10)
            ),
            later(50),
            id="a minute where many runs are missing",
        ),
    ],
)
def test_cancel_the_run_waits(situation: Given, until: datetime | None) -> None:
    assert decided(situation) == Wait(until)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(), run=running()), Wait(), id="a run that is to go on"),
        pytest.param(given(job(cancel=True), run=running()), Store(), id="a cancellation that is not stored"),
        pytest.param(under_cancellation(run=succeeded()), ListTasks(), id="a run that has ended"),
        pytest.param(
            under_cancellation(run=not_found(since=ago(10), again=True, after=running())),
            Store(),
            id="a run that is gone",
        ),
    ],
)
def test_cancel_the_run_passes(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize(
    ("of", "reason"),
    [
        pytest.param(job(), "Suspending", id="suspended, and resumed since"),
        pytest.param(job(), "SpecChanged", id="another spec, and changed back since"),
        pytest.param(job(), "DeadlineExceeded", id="a deadline, and lifted since"),
        pytest.param(job(), "PreRunningDeadlineExceeded", id="a deadline for its start, and lifted since"),
        pytest.param(job(deleted=ago(5)), "Cancelling", id="deleted"),
        pytest.param(job(cancel=True), "CancelRequested", id="cancelled"),
    ],
)
def test_an_announced_cancellation_is_completed(of: MLJob, reason: str) -> None:
    assert decided(of, run=running(), announced=reason) == TriggerCancellation()


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        pytest.param({"cancel": True, "suspend": True, "active_deadline_seconds": 1}, "CancelRequested", id="cancel"),
        pytest.param(
            {"suspend": True, "active_deadline_seconds": 1, "pre_running_deadline_seconds": 1},
            "DeadlineExceeded",
            id="activeDeadlineSeconds",
        ),
        pytest.param(
            {"suspend": True, "pre_running_deadline_seconds": 1}, "PreRunningDeadlineExceeded", id="its first task"
        ),
        pytest.param({"suspend": True, "dag_id": "other", "run_policy": "OnChange"}, "Suspending", id="suspend"),
        pytest.param({"dag_id": "other", "run_policy": "OnChange"}, "SpecChanged", id="another spec"),
        pytest.param({"cancel": True, "suspend": True, "deleted": ago(5)}, "Cancelling", id="deletion"),
    ],
)
def test_of_several_reasons_the_first_counts(of: dict[str, Any], expected: str) -> None:
    status = reported(job(**of), run=queued(), status=under_way(ran={"dag_id": "train"}))
    assert (status["phase"], status["reason"]) == ("Cancelling", expected)


@pytest.mark.parametrize(
    ("announced", "changes", "reason"),
    [
        pytest.param("DeadlineExceeded", {"suspend": True}, "DeadlineExceeded", id="a deadline stays the reason"),
        pytest.param("DeadlineExceeded", {"cancel": True}, "CancelRequested", id="but for a cancellation"),
        pytest.param(
            "Suspending", {"active_deadline_seconds": 1}, "DeadlineExceeded", id="a deadline ends a suspension"
        ),
        pytest.param("SpecChanged", {"suspend": True}, "SpecChanged", id="a change of the spec stays the reason"),
        pytest.param("Suspending", {"deleted": ago(5)}, "Cancelling", id="a deletion comes before all"),
    ],
)
def test_a_stronger_reason_replaces_the_announced_reason(announced: str, changes: dict[str, Any], reason: str) -> None:
    status = reported(job(**changes), run=queued(), announced=announced)
    assert (status["phase"], status["reason"]) == ("Cancelling", reason)
