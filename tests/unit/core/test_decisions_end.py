from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from .situations import (
    AddFinalizer,
    Expire,
    Given,
    ListTasks,
    LookUpRun,
    Release,
    Store,
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
    reported,
    run_event,
    running,
    submitting,
    succeeded,
    under_way,
    unread,
)


def heard(state: str, seconds: float) -> Any:
    return running(reported=run_event(state, ago(seconds)))


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(), run=heard("success", 0)), LookUpRun(), id="an event says that it succeeded"),
        pytest.param(given(job(), run=heard("failed", 0)), LookUpRun(), id="an event says that it failed"),
        pytest.param(
            given(job(), run=heard("success", 2), looked_up=ago(3)), LookUpRun(), id="it was looked up before the event"
        ),
        pytest.param(
            given(job(), run=heard("success", 2), looked_up=ago(1)),
            LookUpRun(),
            id="again, a second after the last time",
        ),
        pytest.param(
            given(job(suspend=True), run=heard("success", 0), announced="Suspending"),
            LookUpRun(),
            id="also while it is being cancelled",
        ),
        pytest.param(
            given(job(), status=under_way(), run=unread(reported=run_event("success"))),
            LookUpRun(),
            id="after a restart",
        ),
        pytest.param(
            given(job(), run=heard("success", 2), looked_up=ago(0.4)),
            Wait(later(0.6)),
            id="waits for Airflow to store the end",
        ),
        pytest.param(
            given(job(), run=heard("success", 2), error=error(again=later(5))),
            Wait(later(5)),
            id="waits until what failed is tried again",
        ),
        pytest.param(
            given(job(), run=not_found(since=ago(1), after=heard("success", 2))),
            Wait(later(2)),
            id="passes: Airflow says that it has no such run",
        ),
        pytest.param(
            given(job(), run=queued(reported=run_event("running", ago(10)))),
            Wait(later(20)),
            id="passes: an event says that it runs",
        ),
        pytest.param(
            given(job(), status=submitting(), run=unread(reported=run_event("running")), unknown_until=ago(1)),
            LookUpRun(),
            id="passes: nothing was submitted",
        ),
    ],
)
def test_confirm_the_end(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(), run=succeeded()), ListTasks(), id="the tasks of a run that has ended"),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "success"})), ListTasks(), id="the runs of a backfill"
        ),
        pytest.param(
            given(job(), status=finished(), run=unread()),
            ListTasks(),
            id="the tasks of a finished run, after a restart",
        ),
        pytest.param(
            given(job(), status=finished(), run=succeeded(), read_at=ago(5), looked_up=ago(1)),
            ListTasks(),
            id="the tasks again, where some had not ended",
        ),
        pytest.param(
            given(job(), run=succeeded(read=ago(40)), error=error(again=ago(0))),
            ListTasks(),
            id="the tasks again, after an error",
        ),
        pytest.param(given(job(), run=succeeded(listed=True)), Store(), id="the verdict, once the tasks are read"),
        pytest.param(
            given(job(held=False), run=succeeded()), Store(), id="the verdict at once, where nothing holds the object"
        ),
        pytest.param(
            given(job(), run=not_found(since=ago(10), again=True, after=running())),
            Store(),
            id="the verdict on a run that is gone",
        ),
        pytest.param(
            given(backfill_job(), run=backfill({"2025-12-01": "success"}, listed=True)),
            Store(),
            id="the verdict on a backfill",
        ),
        pytest.param(given(job(), status=finished(), run=succeeded(listed=True)), Release(), id="lets the object go"),
        pytest.param(
            given(job(), status=finished("Cancelled", submitted=None), run=unread()),
            Release(),
            id="lets an object go that never had a run",
        ),
        pytest.param(
            given(
                job(),
                status=finished("Failed", "DagRunDeleted"),
                run=not_found(since=ago(10), again=True, after=running()),
            ),
            Release(),
            id="lets an object go whose run is gone",
        ),
        pytest.param(
            given(job(), run=succeeded(), error=error(again=later(5))),
            Wait(later(5)),
            id="waits until what failed is tried again",
        ),
        pytest.param(
            given(job(), run=succeeded(read=ago(10)), error=error(again=later(60))),
            Wait(later(20)),
            id="waits for the tasks no longer than for the verdict",
        ),
        pytest.param(
            given(job(), run=succeeded(), read_at=ago(5), looked_up=ago(0.4)),
            Wait(later(0.6)),
            id="waits before it reads the tasks again",
        ),
        pytest.param(
            given(job(held=False), status=finished(), run=succeeded(listed=True)), Wait(), id="passes: nothing is owed"
        ),
        pytest.param(given(job(), run=running()), Wait(), id="passes: the run goes on"),
        pytest.param(
            given(job(held=False, run_policy="OnChange"), status=finished(ran={"dag_id": "other"}), run=unread()),
            AddFinalizer(),
            id="passes: another spec is to be run",
        ),
        pytest.param(
            given(
                job(held=False, ttl_seconds_after_finished=0, run_policy="OnChange"),
                status=finished(ran={"dag_id": "other"}),
                catalog=catalog(full=[""]),
            ),
            Wait(),
            id="passes: another spec is to be run, and waits for its turn",
        ),
        pytest.param(
            given(
                job(held=False, ttl_seconds_after_finished=0, run_policy="OnChange", airflow_ref={"name": "gone"}),
                status=finished(ran={"dag_id": "other"}),
            ),
            Wait(),
            id="passes: another spec is to be run, and waits until a person corrects it",
        ),
        pytest.param(
            given(
                job(run_policy="OnChange"),
                status=finished(ran={"dag_id": "other"}),
                run=succeeded(),
                catalog=catalog(not_ready={"": "No answer."}),
            ),
            Release(),
            id="passes: another spec waits for Airflow",
        ),
    ],
)
def test_collect_results(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


RESTORED = given(job(restored=True, held=False), status=finished())


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(RESTORED, AddFinalizer(), id="holds an MLJob that succeeded"),
        pytest.param(
            given(job(restored=True, held=False), status=finished("Failed")),
            AddFinalizer(),
            id="holds an MLJob that failed",
        ),
        pytest.param(
            given(job(restored=True, held=False), status=finished("Cancelled")),
            AddFinalizer(),
            id="holds an MLJob whose run was cancelled",
        ),
        pytest.param(
            replace(RESTORED, error=error(again=later(5))), AddFinalizer(), id="holds it while Airflow does not answer"
        ),
        pytest.param(
            given(job(restored=True, held=False, ttl_seconds_after_finished=0), status=finished()),
            AddFinalizer(),
            id="holds it although its time to live has ended",
        ),
        pytest.param(
            given(job(restored=True), status=finished()), ListTasks(), id="passes: it has the finalizer, and is read"
        ),
        pytest.param(
            given(job(restored=True), status=finished(), run=succeeded(listed=True)),
            Release(),
            id="passes: it has the finalizer, and was read",
        ),
        pytest.param(
            given(job(held=False), status=finished()), Wait(), id="passes: it has its status, so it was read before"
        ),
        pytest.param(
            given(job(restored=True, held=False, deleted=ago(400)), status=finished()),
            Wait(),
            id="passes: it is deleted",
        ),
        pytest.param(
            given(backfill_job(restored=True, held=False), status=finished()),
            Wait(),
            id="passes: the runs of a backfill have other ids",
        ),
        pytest.param(
            given(job(restored=True, held=False), status=finished("Cancelled", submitted=None)),
            Wait(),
            id="passes: it never had a run",
        ),
        pytest.param(
            given(
                job(restored=True, held=False, run_policy="OnChange"),
                status=finished(ran={"dag_id": "other"}),
                error=error(again=later(5)),
            ),
            Wait(later(5)),
            id="passes: the changed spec is to be run later",
        ),
        pytest.param(
            given(
                job(restored=True, held=False, run_policy="OnChange"),
                status=finished(ran={"dag_id": "other"}),
                catalog=catalog(not_ready={"": "Check MLJOB_AIRFLOW_URL."}),
            ),
            Wait(),
            id="passes: the start of the changed spec is blocked",
        ),
        pytest.param(
            given(job(restored=True, held=False, retry="now"), status=finished("Failed"), error=error(again=later(5))),
            Wait(later(5)),
            id="passes: the requested retry is to start later",
        ),
    ],
)
def test_hold_restored(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_restored_mljob_says_how_it_ended(phase: str) -> None:
    ended = given(job(), status=finished(phase))
    restored = given(job(restored=True, held=False), status=finished(phase))
    told = ("phase", "reason", "message", "attempts", "dagRunId", "submitTime", "completionTime")
    assert [reported(restored).get(name) for name in told] == [reported(ended).get(name) for name in told]


def test_a_verdict_that_is_due_is_stored_while_the_tasks_can_not_be_read() -> None:
    assert decided(job(), run=succeeded(read=ago(31)), error=error(again=later(5))) == Store()


ENDED = finished(completed=ago(100))


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job(held=False, ttl_seconds_after_finished=100), status=ENDED), Expire(), id="its time is up"
        ),
        pytest.param(
            given(job(held=False, ttl_seconds_after_finished=0), status=finished("Failed")),
            Expire(),
            id="also a failure",
        ),
        pytest.param(
            given(job(held=False, ttl_seconds_after_finished=160), status=ENDED),
            Wait(later(60)),
            id="waits for its time",
        ),
        pytest.param(
            given(job(held=False, ttl_seconds_after_finished=100, created=ago(40)), status=ENDED),
            Wait(later(60)),
            id="waits from its creation, where the run is older",
        ),
        pytest.param(
            given(job(ttl_seconds_after_finished=100), status=ENDED, run=succeeded(listed=True)),
            Release(),
            id="passes: the finalizer goes first",
        ),
        pytest.param(given(job(held=False), status=ENDED), Wait(), id="passes: no time is set"),
        pytest.param(
            given(
                job(held=False, ttl_seconds_after_finished=0, run_policy="OnChange"),
                status=finished(ran={"dag_id": "other"}),
            ),
            AddFinalizer(),
            id="passes: another spec is to be run",
        ),
        pytest.param(
            given(
                job(held=False, ttl_seconds_after_finished=0, run_policy="OnChange"),
                status=finished(ran={"dag_id": "other"}),
                catalog=catalog(full=[""]),
            ),
            Wait(),
            id="passes: another spec is to be run, and waits for its turn",
        ),
        pytest.param(
            given(
                job(held=False, ttl_seconds_after_finished=0, run_policy="OnChange", airflow_ref={"name": "gone"}),
                status=finished(ran={"dag_id": "other"}),
            ),
            Wait(),
            id="passes: another spec is to be run, and waits until a person corrects it",
        ),
        pytest.param(
            given(job(held=False, ttl_seconds_after_finished=0, deleted=ago(5)), status=ENDED),
            Wait(later(295)),
            id="passes: it is being deleted",
        ),
        pytest.param(
            given(job(held=False, ttl_seconds_after_finished=0), run=failed(listed=True)),
            Store(),
            id="passes: the status does not tell of the end yet",
        ),
    ],
)
def test_expire(situation: Given, expected: object) -> None:
    assert decided(situation) == expected
