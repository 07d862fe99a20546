from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.unit.core.situations import BeginAttempt

from .situations import (
    NO_DEFAULT,
    AddFinalizer,
    ClearFailed,
    CountRuns,
    Given,
    ListTasks,
    LookUpRun,
    ReadQuestions,
    Release,
    Submit,
    Wait,
    ago,
    backfill_job,
    catalog,
    decided,
    ended,
    error,
    finished,
    given,
    instance,
    job,
    later,
    new,
    not_found,
    queued,
    retrying,
    run_event,
    run_number,
    running,
    status_of,
    submitting,
    suspended,
    task,
    under_way,
    unread,
)

ONCE_PER_SPEC = job(run_policy="OncePerSpec")
TO_CLEAR = submitting(2, history=(ended(1),))
"""A status that announces the second attempt, which clears the failed tasks of the first run."""


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(held=False)), AddFinalizer(), id="the finalizer comes first"),
        pytest.param(
            given(job(held=False, run_policy="OnChange"), status=finished(ran={"dag_id": "other"})),
            AddFinalizer(),
            id="also before another spec is run",
        ),
        pytest.param(given(ONCE_PER_SPEC), CountRuns(), id="OncePerSpec asks how many runs there are"),
        pytest.param(
            given(ONCE_PER_SPEC, counted_at=ago(3)), CountRuns(), id="OncePerSpec asks again whether there are more"
        ),
        pytest.param(
            given(ONCE_PER_SPEC, status=finished(ran={"dag_id": "other"})),
            CountRuns(),
            id="OncePerSpec asks how many runs another spec has",
        ),
        pytest.param(
            given(ONCE_PER_SPEC, status=submitting(ran={"dag_id": "other"})),
            CountRuns(),
            id="OncePerSpec asks also before anything is submitted",
        ),
        pytest.param(given(ONCE_PER_SPEC, status=submitting()), Submit(), id="OncePerSpec submits what is announced"),
        pytest.param(given(job(), status=submitting()), Submit(), id="what is announced is submitted"),
        pytest.param(given(backfill_job(), status=submitting()), Submit(), id="also a backfill"),
        pytest.param(
            given(job(), status=submitting(), unknown_until=later(10)),
            Submit(),
            id="again, where the first submission was not answered",
        ),
        pytest.param(
            given(job(), status=submitting(), unknown_until=ago(0)),
            LookUpRun(),
            id="looks for the run once a submission that was not answered has arrived",
        ),
        pytest.param(
            given(job(), status=submitting(), unknown_until=ago(20), run=not_found(since=ago(10), again=True)),
            Submit(),
            id="again, where there is no run",
        ),
        pytest.param(
            given(backfill_job(), status=submitting(), unknown_until=later(10)),
            LookUpRun(),
            id="looks for a backfill before it is created again",
        ),
        pytest.param(given(job(backoff_limit=1), status=TO_CLEAR), ClearFailed(), id="clears the failed tasks"),
        pytest.param(
            given(job(backoff_limit=1), status=TO_CLEAR, run=not_found(since=ago(3))),
            LookUpRun(),
            id="looks again for a run to clear that is missing",
        ),
        pytest.param(
            given(
                job(),
                status=submitting(ran={"dag_id": "other"}),
                unknown_until=later(10),
            ),
            LookUpRun(),
            id="looks for the run of a spec that changed while it was being submitted",
        ),
        pytest.param(
            given(job(), status=submitting(), unknown_until=ago(1), catalog=catalog(full=[""])),
            LookUpRun(),
            id="looks for a run that may have a place, whatever keeps it from being submitted again",
        ),
        pytest.param(given(job(suspend=True), status=new()), Release(), id="lets a suspended MLJob go"),
        pytest.param(
            given(job(suspend=True), status=suspended()), Release(), id="lets an MLJob go whose run was cancelled"
        ),
    ],
)
def test_start_the_run_acts(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


@pytest.mark.parametrize(
    ("situation", "number", "run"),
    [
        pytest.param(given(job()), 1, 1, id="the first"),
        pytest.param(given(ONCE_PER_SPEC, newest=0), 1, 1, id="OncePerSpec without an earlier run"),
        pytest.param(given(ONCE_PER_SPEC, newest=2), 1, 2, id="OncePerSpec takes over the newest run"),
        pytest.param(
            given(ONCE_PER_SPEC, newest=2, newest_state="failed"),
            1,
            2,
            id="OncePerSpec takes over also a run that failed",
        ),
        pytest.param(given(job(backoff_limit=1), status=retrying(at=ago(10))), 2, 1, id="a retry"),
        pytest.param(given(job(), status=suspended()), 2, 2, id="after a suspension"),
        pytest.param(
            given(job(run_policy="OnChange"), status=finished(ran={"dag_id": "other"})), 2, 2, id="another spec"
        ),
        pytest.param(
            given(job(), status=submitting(ran={"dag_id": "other"})),
            1,
            1,
            id="another spec, before anything is submitted",
        ),
        pytest.param(
            given(job(), status=submitting(airflow="prod")), 1, 1, id="another Airflow, before anything is submitted"
        ),
        pytest.param(
            given(job(backoff_limit=1), status=TO_CLEAR, nothing_to_clear=True), 2, 2, id="a run without failed tasks"
        ),
        pytest.param(
            given(job(backoff_limit=1), status=TO_CLEAR, run=not_found(since=ago(10), again=True)),
            2,
            2,
            id="a run to clear that is gone",
        ),
        pytest.param(given(job(generation=2), error=error(generation=1)), 1, 1, id="at once with a changed spec"),
    ],
)
def test_start_the_run_begins_an_attempt(situation: Given, number: int, run: int) -> None:
    action = decided(situation)
    assert isinstance(action, BeginAttempt)
    assert (action.attempt.number, run_number(action.attempt.run_id)) == (number, run)


@pytest.mark.parametrize(
    ("situation", "until"),
    [
        pytest.param(given(job(backoff_limit=1), status=retrying(at=ago(6))), later(4), id="before a retry"),
        pytest.param(given(job(), error=error(again=later(5), starting=True)), later(5), id="until it is tried again"),
        pytest.param(
            given(job(backoff_limit=1), status=retrying(at=ago(6)), error=error(again=later(9))),
            later(9),
            id="for the later of both",
        ),
        pytest.param(given(ONCE_PER_SPEC, counted_at=ago(1)), later(2), id="before the runs are counted again"),
        pytest.param(
            given(job(backoff_limit=1), status=TO_CLEAR, run=not_found(since=ago(1))),
            later(2),
            id="before a missing run is looked for again",
        ),
        pytest.param(
            given(job(), status=submitting(), unknown_until=later(5), catalog=catalog(full=[""])),
            later(5),
            id="for a submission that was not answered",
        ),
        pytest.param(
            given(job(), status=submitting(), unknown_until=ago(1), catalog=catalog(not_ready={"": "No answer."})),
            None,
            id="where Airflow can't be asked whether there is a run",
        ),
        pytest.param(given(job(suspend=True, held=False)), None, id="while it is suspended"),
        pytest.param(
            given(job(pre_running_deadline_seconds=620), status=new(active=ago(600)), catalog=catalog(full=[""])),
            later(20),
            id="no longer than preRunningDeadlineSeconds",
        ),
    ],
)
def test_start_the_run_waits(situation: Given, until: datetime | None) -> None:
    assert decided(situation) == Wait(until)


PROD: dict[str, Any] = {"airflow_ref": {"name": "prod"}}


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        pytest.param({}, catalog(settings_access=[{"dags": ["other"]}]), id="no access rule"),
        pytest.param({}, catalog(default=NO_DEFAULT), id="no default Airflow"),
        pytest.param(PROD, catalog(), id="no such AirflowInstance"),
        pytest.param(PROD, catalog(instances={"prod": instance(deleting=True)}), id="an AirflowInstance that goes"),
        pytest.param({"dag_id": "mljob_cancel"}, catalog(), id="a DAG of the platform"),
        pytest.param({"conf": "none"}, catalog(), id="a spec that can't be read"),
    ],
)
def test_a_blocker_prevents_the_start_of_a_run(spec: dict[str, Any], there: Any) -> None:
    assert decided(job(held=False, **spec), catalog=there) == Wait()
    # The API server has added the finalizer at the creation.
    assert decided(job(**spec), catalog=there) == Release()


@pytest.mark.parametrize(
    ("spec", "there"),
    [
        pytest.param({}, catalog(full=[""]), id="Airflow has as many runs as it may"),
        pytest.param({}, catalog(not_ready={"": "No answer."}), id="Airflow is not ready"),
    ],
)
def test_an_mljob_that_waits_for_its_airflow_keeps_the_finalizer_of_its_creation(
    spec: dict[str, Any], there: Any
) -> None:
    assert decided(job(held=False, **spec), catalog=there) == Wait()
    assert decided(job(**spec), catalog=there) == Wait()


def test_a_blocker_prevents_the_submission_of_an_announced_run() -> None:
    assert decided(job(), status=submitting(), catalog=catalog(not_ready={"": "No answer."})) == Wait()
    assert decided(job(**PROD), status=submitting(), catalog=catalog()) == Wait()


def test_a_finished_mljob_that_can_not_run_its_new_spec_gives_up_its_finalizer() -> None:
    # A finalizer would delay the deletion of the AirflowInstance.
    was, there = finished(ran={"dag_id": "other"}), catalog(not_ready={"": "No answer."})
    assert decided(job(run_policy="OnChange"), status=was, catalog=there) == Release()
    assert decided(job(run_policy="OnChange", held=False), status=was, catalog=there) == Wait()


def test_an_announced_attempt_keeps_its_airflow_without_a_default() -> None:
    assert decided(job(), status=submitting(), catalog=catalog(default=NO_DEFAULT)) == Submit()


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(held=False), status=finished()), Wait(), id="a finished MLJob"),
        pytest.param(given(job(), status=under_way()), Wait(), id="a run in progress"),
        pytest.param(given(job(deleted=ago(5))), Release(), id="a deleted MLJob"),
        pytest.param(
            given(job(held=False, cancel=True, run_policy="OnChange"), status=finished(ran={"dag_id": "other"})),
            Wait(),
            id="another spec of a cancelled MLJob",
        ),
        pytest.param(
            given(job(held=False), status=finished(ran={"dag_id": "other"})),
            Wait(),
            id="another spec with runPolicy Once",
        ),
    ],
)
def test_start_the_run_passes(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


def test_with_once_a_later_attempt_runs_the_spec_of_the_first() -> None:
    spec = {"dag_id": "other", "conf": {"epochs": 1}}
    was = ended(1, ran=spec)
    situation = given(
        job(backoff_limit=1, retry_strategy="NewRun", conf={"epochs": 2}),
        status=submitting(2, run=2, ran=spec, history=(was,)),
    )
    first = status_of(situation)["history"][0]["dagRunId"]
    assert decided(situation) == Submit(conf_of=first)


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job(), run=running(), needs_look_up=True), ListTasks(), id="it is doubted that the run is there"
        ),
        pytest.param(
            given(job(), run=queued(reported=run_event("running", ago(30)))),
            ListTasks(),
            id="an event on the run is doubted",
        ),
        pytest.param(
            given(job(), run=running(task("fit", at=ago(30), event=True))),
            ListTasks(),
            id="an event on a task is doubted",
        ),
        pytest.param(given(job(), run=not_found(since=ago(3), after=running())), ListTasks(), id="the run was missing"),
        pytest.param(
            given(job(), run=not_found(since=ago(90), again=True, after=running()), vanished=True, looked_up=ago(60)),
            ListTasks(),
            id="the run is missing with many others, each minute",
        ),
        pytest.param(
            given(job(), run=running(task("ask", "awaiting_input", asked=False))),
            ReadQuestions(),
            id="a task waits for a person",
        ),
        pytest.param(given(job(), run=running()), Wait(), id="waits for news"),
        pytest.param(
            given(job(active_deadline_seconds=610), run=running()),
            Wait(later(10)),
            id="waits for activeDeadlineSeconds",
        ),
        pytest.param(
            given(job(pre_running_deadline_seconds=610), run=queued()),
            Wait(later(10)),
            id="waits for preRunningDeadlineSeconds",
        ),
        pytest.param(
            given(job(), run=running(), needs_look_up=True, error=error(again=later(5))),
            Wait(later(5)),
            id="waits until what failed is tried again",
        ),
        pytest.param(
            given(job(), run=running(task("fit", at=ago(10), event=True))),
            Wait(later(20)),
            id="waits for Airflow to confirm an event",
        ),
        pytest.param(
            given(job(), run=not_found(since=ago(1), after=running())), Wait(later(2)), id="waits before it asks again"
        ),
        pytest.param(
            given(job(), run=not_found(since=ago(90), again=True, after=running()), vanished=True, looked_up=ago(10)),
            Wait(later(50)),
            id="waits a minute where many runs are missing",
        ),
        pytest.param(
            given(job(), run=running(task("ask", "awaiting_input", asks="Deploy?"))), Wait(), id="waits for the answer"
        ),
        pytest.param(
            given(job(), status=under_way(), run=unread()), Wait(), id="waits for the change feed after a restart"
        ),
    ],
)
def test_follow(situation: Given, expected: object) -> None:
    assert decided(situation) == expected
