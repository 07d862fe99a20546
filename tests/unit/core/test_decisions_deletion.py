from __future__ import annotations

import pytest

from .situations import (
    CancelDirectly,
    Given,
    HandleChildren,
    ListTasks,
    NoteRetention,
    Release,
    Store,
    TriggerCancellation,
    Wait,
    ago,
    backfill,
    backfill_job,
    catalog,
    decided,
    error,
    failed,
    finished,
    given,
    job,
    later,
    not_found,
    queued,
    running,
    submitting,
    succeeded,
    suspended,
    under_way,
)

CANCELLED = {"announced": "CancelRequested"}


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job(cancel=True), run=failed(), **CANCELLED), HandleChildren(), id="a cancelled run has ended"
        ),
        pytest.param(
            given(job(cancel=True), run=failed(), error=error(again=later(5)), **CANCELLED),
            Wait(later(5)),
            id="waits until what failed is tried again",
        ),
        pytest.param(
            given(job(deleted=ago(298)), run=failed(), error=error(again=later(5)), announced="Cancelling"),
            Wait(later(2)),
            id="waits no longer than the deletion does",
        ),
        pytest.param(
            given(job(cancel=True), run=failed(), children_seen=True, **CANCELLED), ListTasks(), id="passes: seen to"
        ),
        pytest.param(given(job(), run=failed()), ListTasks(), id="passes: the run failed by itself"),
        pytest.param(
            given(job(suspend=True), status=suspended(), run=failed(listed=True)),
            Release(),
            id="passes: the attempt is over",
        ),
        pytest.param(
            given(job(cancel=True), run=succeeded(), **CANCELLED), ListTasks(), id="passes: the run succeeded first"
        ),
        pytest.param(
            given(job(cancel=True), run=failed(end=ago(300)), **CANCELLED),
            ListTasks(),
            id="passes: cancellation.timeoutSeconds after the run's end",
        ),
        pytest.param(
            given(job(deleted=ago(300)), run=failed(), announced="Cancelling"),
            Release(),
            id="passes: the deletion has waited for cancellation.timeoutSeconds",
        ),
        pytest.param(
            given(backfill_job(cancel=True), run=backfill({"2025-12-01": "failed"}), **CANCELLED),
            ListTasks(),
            id="passes: a backfill",
        ),
    ],
)
def test_handle_children(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


RETAINED = job(deleted=ago(5), deletion_policy="Retain")
GONE = not_found(since=ago(10), again=True, after=running())


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(deleted=ago(5))), Release(), id="no attempt"),
        pytest.param(given(job(deleted=ago(5)), status=finished()), Release(), id="a finished MLJob"),
        pytest.param(
            given(job(deleted=ago(5)), run=succeeded(), announced="Cancelling"), Release(), id="the run ended"
        ),
        pytest.param(given(job(deleted=ago(5)), run=GONE, announced="Cancelling"), Release(), id="the run is gone"),
        pytest.param(given(RETAINED, run=running()), NoteRetention(), id="a run that is retained gets a note"),
        pytest.param(given(RETAINED, run=running(), noted=True), Release(), id="a run that has its note"),
        pytest.param(
            given(RETAINED, run=running(), catalog=catalog(not_ready={"": "No answer."})),
            Release(),
            id="no note where Airflow can't be asked",
        ),
        pytest.param(given(RETAINED, run=succeeded()), Release(), id="no note on a run that has ended"),
        pytest.param(given(RETAINED, status=submitting()), Release(), id="no note where nothing was submitted"),
        pytest.param(
            given(RETAINED, status=submitting(), unknown_until=later(10)),
            NoteRetention(),
            id="a note where a submission may have arrived",
        ),
        pytest.param(
            given(backfill_job(deleted=ago(5), deletion_policy="Retain"), run=backfill({"2025-12-01": "running"})),
            Release(),
            id="a backfill that is retained gets no note",
        ),
        pytest.param(
            given(
                job(deleted=ago(300)), run=running(), announced="Cancelling", cancelled_at=ago(20), looked_up=ago(15)
            ),
            Release(abandoned=True),
            id="in time, Airflow did not end the run",
        ),
        pytest.param(
            given(job(deleted=ago(300)), run=running(), announced="Cancelling", error=error()),
            Release(abandoned=True),
            id="in time, Airflow could not be asked",
        ),
        pytest.param(
            given(job(deleted=ago(300)), run=GONE, vanished=True, announced="Cancelling"),
            Release(abandoned=True),
            id="in time, the run was missing with many others",
        ),
        pytest.param(
            given(job(deleted=ago(5), held=False), run=running()), Wait(later(295)), id="waits without the finalizer"
        ),
        pytest.param(given(job(deleted=ago(5)), run=running()), Store(), id="passes: a run to be cancelled"),
        pytest.param(
            given(job(deleted=ago(5)), run=queued(), announced="Cancelling"),
            TriggerCancellation(),
            id="passes: a run that is being cancelled",
        ),
        pytest.param(
            given(job(deleted=ago(300)), run=running(), announced="Cancelling"),
            CancelDirectly(),
            id="passes: in time, and Airflow was not asked yet",
        ),
        pytest.param(
            given(job(deleted=ago(300)), run=running(), announced="Cancelling", error=error(starting=True)),
            CancelDirectly(),
            id="passes: what failed was the start of the run",
        ),
        pytest.param(given(job(), status=under_way(), run=running()), Wait(), id="passes: not deleted"),
    ],
)
def test_let_deletion_through(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


def test_deletion_waits_as_long_as_the_spec_says() -> None:
    deleted = job(deleted=ago(61), cancellation={"timeoutSeconds": 60})
    assert decided(deleted, run=running(), announced="Cancelling", error=error()) == Release(abandoned=True)
