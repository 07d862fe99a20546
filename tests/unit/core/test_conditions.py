from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mljob_operator.core.status.conditions import DesiredCondition, transition

from .situations import (
    NO_DEFAULT,
    NOW,
    Given,
    ago,
    attempt,
    backfill,
    backfill_job,
    catalog,
    error,
    failed,
    finished,
    given,
    job,
    later,
    not_found,
    queued,
    reported,
    retrying,
    running,
    submitting,
    succeeded,
    suspended,
    task,
    under_way,
)

OTHER = {"dag_id": "other"}
RESUMED = [{"type": "Suspended", "status": "False", "reason": "Resumed", "lastTransitionTime": "2026-01-01T11:00:00Z"}]


def conditions(situation: Given) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in reported(situation)["conditions"]}


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job()), {"Reconciling": ("True", "Submitting"), "Stalled": ("False", "Submitting")}, id="a new MLJob"
        ),
        pytest.param(
            given(job(), run=queued()), {"Reconciling": ("True", "Queued"), "Stalled": ("False", "Queued")}, id="queued"
        ),
        pytest.param(
            given(job(), run=running()),
            {"Reconciling": ("True", "Running"), "Stalled": ("False", "Running")},
            id="running",
        ),
        pytest.param(
            given(job(), run=running(), halt="DagPaused"),
            {"Reconciling": ("True", "DagPaused"), "Stalled": ("False", "DagPaused")},
            id="a paused DAG is no stall: whoever paused it may unpause it",
        ),
        pytest.param(
            given(job(cancel=True), run=running()),
            {"Reconciling": ("True", "CancelRequested"), "Stalled": ("False", "CancelRequested")},
            id="cancelling",
        ),
        pytest.param(
            given(job(backoff_limit=1), status=retrying()),
            {"Reconciling": ("True", "RetryBackoff"), "Stalled": ("False", "RetryBackoff")},
            id="before a retry",
        ),
        pytest.param(
            given(job(), run=succeeded(listed=True)),
            {
                "Complete": ("True", "Succeeded"),
                "Reconciling": ("False", "Succeeded"),
                "Stalled": ("False", "Succeeded"),
            },
            id="succeeded",
        ),
        pytest.param(
            given(job(), run=failed(task("fit", "failed"), listed=True)),
            {
                "Failed": ("True", "TaskFailed"),
                "Reconciling": ("False", "TaskFailed"),
                "Stalled": ("True", "TaskFailed"),
            },
            id="failed",
        ),
        pytest.param(
            given(job(cancel=True), announced="CancelRequested", run=failed(listed=True), children_seen=True),
            {
                "Failed": ("True", "CancelRequested"),
                "Reconciling": ("False", "CancelRequested"),
                "Stalled": ("True", "CancelRequested"),
            },
            id="cancelled",
        ),
        pytest.param(
            given(job(suspend=True)),
            {
                "Suspended": ("True", "Suspended"),
                "Reconciling": ("False", "Suspended"),
                "Stalled": ("False", "Suspended"),
            },
            id="suspended",
        ),
        pytest.param(
            given(job(), status=suspended(conditions=RESUMED)),
            {
                "Suspended": ("False", "Resumed"),
                "Reconciling": ("True", "Submitting"),
                "Stalled": ("False", "Submitting"),
            },
            id="resumed",
        ),
        pytest.param(
            given(job(), catalog=catalog(not_ready={"": "No answer."})),
            {
                "Reconciling": ("True", "AirflowInstanceNotReady"),
                "Stalled": ("False", "AirflowInstanceNotReady"),
            },
            id="waiting for Airflow",
        ),
        pytest.param(
            given(job(), catalog=catalog(default=NO_DEFAULT)),
            {"Reconciling": ("True", "NoDefaultAirflow"), "Stalled": ("False", "NoDefaultAirflow")},
            id="waiting for a default Airflow",
        ),
        pytest.param(
            given(job(), catalog=catalog(full=[""])),
            {"Reconciling": ("True", "ConcurrencyLimit"), "Stalled": ("False", "ConcurrencyLimit")},
            id="waiting for its turn",
        ),
        pytest.param(
            given(job(), catalog=catalog(settings_access=[])),
            {"Reconciling": ("False", "ValidationFailed"), "Stalled": ("True", "ValidationFailed")},
            id="no access rule",
        ),
        pytest.param(
            given(job(conf="none")),
            {"Reconciling": ("False", "ValidationFailed"), "Stalled": ("True", "ValidationFailed")},
            id="a spec that can't be read",
        ),
        pytest.param(
            given(job(), status=submitting(), error=error("DagNotFound", starting=True)),
            {"Reconciling": ("True", "DagNotFound"), "Stalled": ("False", "DagNotFound")},
            id="a submission that is tried again",
        ),
        pytest.param(
            given(job(), status=submitting(), error=error("ValidationFailed", starting=True, stalls=True)),
            {"Reconciling": ("False", "ValidationFailed"), "Stalled": ("True", "ValidationFailed")},
            id="a conf that Airflow refuses",
        ),
        pytest.param(
            given(job(), run=running(), error=error(stalls=True)),
            {"Reconciling": ("True", "Running"), "Stalled": ("False", "Running")},
            id="an error about a run in progress is no stall",
        ),
        pytest.param(
            given(
                job(),
                catalog=catalog(not_ready={"": "No answer."}),
                error=error("ValidationFailed", stalls=True, again=ago(0)),
            ),
            {
                "Reconciling": ("True", "AirflowInstanceNotReady"),
                "Stalled": ("False", "AirflowInstanceNotReady"),
            },
            id="what is in the way now counts, whatever went wrong before",
        ),
    ],
)
def test_each_state_has_its_conditions(situation: Given, expected: dict[str, tuple[str, str]]) -> None:
    assert conditions(situation) == expected


RUNS = {"2025-12-01": "running", "2025-12-02": "queued"}
PAUSED: dict[str, Any] = {"status": under_way(phase="Suspended")}


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(backfill_job(suspend=True), run=backfill(RUNS)),
            {
                "Suspended": ("False", "Suspending"),
                "Reconciling": ("True", "Suspending"),
                "Stalled": ("False", "Suspending"),
            },
            id="to be paused",
        ),
        pytest.param(
            given(backfill_job(suspend=True), run=backfill(RUNS, paused=True)),
            {
                "Suspended": ("True", "Suspended"),
                "Reconciling": ("False", "Suspended"),
                "Stalled": ("False", "Suspended"),
            },
            id="paused",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS, paused=True), **PAUSED),
            {
                "Suspended": ("True", "Resuming"),
                "Reconciling": ("True", "Resuming"),
                "Stalled": ("False", "Resuming"),
            },
            id="to go on",
        ),
        pytest.param(
            given(backfill_job(), status=under_way(conditions=RESUMED), run=backfill(RUNS)),
            {
                "Suspended": ("False", "Resumed"),
                "Reconciling": ("True", "RunsInProgress"),
                "Stalled": ("False", "RunsInProgress"),
            },
            id="goes on",
        ),
        pytest.param(
            given(backfill_job(), run=backfill(RUNS, paused=True)),
            {"Reconciling": ("True", "BackfillPaused"), "Stalled": ("False", "BackfillPaused")},
            id="paused in Airflow",
        ),
    ],
)
def test_each_state_of_a_backfill_has_its_conditions(situation: Given, expected: dict[str, tuple[str, str]]) -> None:
    assert conditions(situation) == expected


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(
            given(job(), status=under_way(ran=OTHER), run=running()),
            {
                "SpecApplied": ("False", "RunPolicyOnce"),
                "Reconciling": ("True", "Running"),
                "Stalled": ("False", "Running"),
            },
            id="a change that runPolicy Once refuses",
        ),
        pytest.param(
            given(job(), status=under_way(ran=OTHER), run=succeeded(listed=True)),
            {
                "Complete": ("True", "Succeeded"),
                "SpecApplied": ("False", "RunPolicyOnce"),
                "Reconciling": ("False", "Succeeded"),
                "Stalled": ("True", "RunPolicyOnce"),
            },
            id="a success that is another spec's is a stall",
        ),
        pytest.param(
            given(job(), status=under_way(ran=OTHER), run=failed(listed=True)),
            {
                "Failed": ("True", "DagRunFailed"),
                "SpecApplied": ("False", "RunPolicyOnce"),
                "Reconciling": ("False", "DagRunFailed"),
                "Stalled": ("True", "DagRunFailed"),
            },
            id="a failure that is another spec's",
        ),
        pytest.param(
            given(job(run_policy="OnChange", cancel=True, generation=2), status=finished(ran=OTHER)),
            {
                "Complete": ("True", "Succeeded"),
                "SpecApplied": ("False", "CancelRequested"),
                "Reconciling": ("False", "Succeeded"),
                "Stalled": ("True", "CancelRequested"),
            },
            id="a change of a finished MLJob together with cancel",
        ),
        pytest.param(
            given(job(run_policy="OnChange", cancel=True, generation=2), status=under_way(ran=OTHER), run=running()),
            {
                "SpecApplied": ("False", "CancelRequested"),
                "Reconciling": ("True", "CancelRequested"),
                "Stalled": ("False", "CancelRequested"),
            },
            id="a change of a running MLJob together with cancel",
        ),
        pytest.param(
            given(job(conf="none"), run=running()),
            {
                "SpecApplied": ("False", "ValidationFailed"),
                "Reconciling": ("True", "Running"),
                "Stalled": ("False", "Running"),
            },
            id="a change that can't be read",
        ),
        pytest.param(
            given(
                job(run_policy="OnChange", generation=2),
                status=finished(ran=OTHER),
                catalog=catalog(not_ready={"": "No answer."}),
            ),
            {
                "Complete": ("True", "Succeeded"),
                "SpecApplied": ("False", "AirflowInstanceNotReady"),
                "Reconciling": ("True", "AirflowInstanceNotReady"),
                "Stalled": ("False", "AirflowInstanceNotReady"),
            },
            id="a change that waits for Airflow",
        ),
        pytest.param(
            given(
                job(run_policy="OnChange", generation=2),
                status=finished("Failed", ran=OTHER),
                catalog=catalog(settings_access=[]),
            ),
            {
                "Failed": ("True", "TaskFailed"),
                "SpecApplied": ("False", "ValidationFailed"),
                "Reconciling": ("False", "ValidationFailed"),
                "Stalled": ("True", "ValidationFailed"),
            },
            id="a change that may not run",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec", generation=2), status=finished(ran=OTHER)),
            {
                "Complete": ("True", "Succeeded"),
                "Reconciling": ("True", "Submitting"),
                "Stalled": ("False", "Submitting"),
            },
            id="a change whose runs are counted",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec", generation=2),
                status=finished("Failed", ran=OTHER),
                error=error(generation=2, counting=True),
            ),
            {
                "Failed": ("True", "TaskFailed"),
                "SpecApplied": ("False", "AirflowUnavailable"),
                "Reconciling": ("True", "AirflowUnavailable"),
                "Stalled": ("False", "AirflowUnavailable"),
            },
            id="a change whose runs can't be counted",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec", generation=2), status=finished(ran=OTHER), error=error()),
            {
                "Complete": ("True", "Succeeded"),
                "Reconciling": ("True", "Submitting"),
                "Stalled": ("False", "Submitting"),
            },
            id="a change whose runs are counted, after an error about the earlier run",
        ),
        pytest.param(
            given(job(run_policy="OnChange"), status=finished(ran=OTHER), begun=attempt(2, run=2)),
            {"Reconciling": ("True", "Submitting"), "Stalled": ("False", "Submitting")},
            id="a change that is run",
        ),
    ],
)
def test_a_change_of_the_spec_has_its_conditions(situation: Given, expected: dict[str, tuple[str, str]]) -> None:
    assert conditions(situation) == expected


UNKNOWN = "spec.conf.epoch: the DAG has no such param (did you mean epochs?)."


def told_of_params(**more: Any) -> str | None:
    found = [each for each in reported(**more)["conditions"] if each["type"] == "UnknownParams"]
    return found[0]["message"] if found else None


STORED_UNKNOWN: dict[str, Any] = {
    "conditions": [
        {
            "type": "UnknownParams",
            "status": "True",
            "reason": "UnknownParams",
            "message": UNKNOWN,
            "lastTransitionTime": "2026-01-01T11:00:00Z",
        }
    ]
}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({"run": queued(), "unknown_params": UNKNOWN}, UNKNOWN, id="the submitted conf has unknown keys"),
        pytest.param({"run": queued(), "unknown_params": ""}, None, id="the submitted conf has only params"),
        pytest.param({"run": queued()}, None, id="another process built the conf and found nothing"),
        pytest.param(
            {"run": running(), "status": under_way(**STORED_UNKNOWN)}, UNKNOWN, id="another process built the conf"
        ),
        pytest.param(
            {"run": succeeded(listed=True), "status": finished(**STORED_UNKNOWN)}, UNKNOWN, id="a finished MLJob"
        ),
        pytest.param(
            {"status": retrying(**STORED_UNKNOWN), "begun": attempt(2)}, UNKNOWN, id="a retry before its conf is built"
        ),
        pytest.param(
            {"run": queued(), "status": under_way(2, **STORED_UNKNOWN), "unknown_params": ""},
            None,
            id="a retry after the DAG was corrected",
        ),
    ],
)
def test_keys_that_are_no_params_have_a_condition(more: dict[str, Any], expected: str | None) -> None:
    assert told_of_params(job=job(), **more) == expected


def test_condition_about_params_ends_with_another_spec() -> None:
    ended = finished(ran=OTHER, **STORED_UNKNOWN)
    assert told_of_params(job=job(run_policy="OnChange"), status=ended, begun=attempt(2, run=2)) is None


def test_a_finished_mljob_that_waits_to_run_its_new_spec_has_not_observed_it() -> None:
    before = finished(ran=OTHER, observed_generation=1)
    changed, refused = job(run_policy="OnChange", generation=2), job(generation=2)
    waits = reported(changed, status=before, catalog=catalog(not_ready={"": "No answer."}))
    assert waits["observedGeneration"] == 1
    assert reported(refused, status=before)["observedGeneration"] == 2


@pytest.mark.parametrize(
    ("situation", "generation"),
    [
        pytest.param(given(job(generation=3), run=succeeded(listed=True)), 3, id="of the current spec"),
        pytest.param(
            given(job(generation=3), status=under_way(ran=OTHER), run=succeeded(listed=True)),
            2,
            id="after a change that runPolicy Once refuses",
        ),
        pytest.param(
            given(job(generation=3, conf="none"), run=succeeded(listed=True)), 2, id="after a change that can't be read"
        ),
        pytest.param(
            given(
                job(run_policy="OnChange", generation=3),
                status=finished(ran=OTHER),
                catalog=catalog(not_ready={"": "No answer."}),
            ),
            2,
            id="before a change that waits for Airflow",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec", generation=3), status=finished(ran=OTHER)),
            2,
            id="before a change whose runs are counted",
        ),
    ],
)
def test_complete_is_of_the_spec_that_has_run(situation: Given, generation: int) -> None:
    first = reported(situation)
    edited = replace(situation.job, generation=situation.job.generation + 1)
    second = reported(replace(situation, job=edited, status=first))
    assert _complete(first) == generation
    assert _complete(second) == (generation if generation < situation.job.generation else edited.generation)


def _complete(status: dict[str, Any]) -> int:
    (found,) = [each["observedGeneration"] for each in status["conditions"] if each["type"] == "Complete"]
    assert isinstance(found, int)
    return found


def _times(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["lastTransitionTime"] for each in status["conditions"]}


def test_the_transition_time_changes_only_with_the_status() -> None:
    first = reported(job(), run=running())
    second = reported(job(), run=running(task("fit")), status=first, now=later(60))
    third = reported(job(), run=failed(listed=True), status=second, now=later(120))
    assert _times(first) == {"Reconciling": "2026-01-01T12:00:00Z", "Stalled": "2026-01-01T12:00:00Z"}
    assert _times(second) == _times(first)
    assert set(_times(third).values()) == {"2026-01-01T12:02:00Z"}


def test_an_unchanged_condition_is_kept() -> None:
    wanted = [DesiredCondition("Reconciling", True, "TaskRunning", "Task fit is running.")]
    first = transition(None, wanted, generation=1, now=NOW)
    again, edited = (transition(first, wanted, generation, now=later(60)) for generation in (1, 2))
    assert again[0] is first[0]
    assert edited[0] == first[0].model_copy(update={"observed_generation": 2})


def test_a_condition_has_the_observed_generation() -> None:
    status = reported(job(generation=4), run=running())
    assert {each["observedGeneration"] for each in status["conditions"]} == {4}


@pytest.mark.parametrize(
    ("situation", "speaking"),
    [
        pytest.param(given(job(), run=running()), {"Reconciling"}, id="in progress"),
        pytest.param(given(job(), run=succeeded(listed=True)), {"Complete"}, id="succeeded"),
        pytest.param(given(job(), run=failed(listed=True)), {"Failed", "Stalled"}, id="failed"),
        pytest.param(given(job(suspend=True)), {"Suspended"}, id="suspended"),
        pytest.param(given(job(), catalog=catalog(settings_access=[])), {"Stalled"}, id="stalled"),
        pytest.param(
            given(job(), run=not_found(since=ago(10), again=True, after=running())), {"Failed", "Stalled"}, id="deleted"
        ),
    ],
)
def test_only_conditions_that_hold_have_a_message(situation: Given, speaking: set[str]) -> None:
    status = reported(situation)
    assert {each["type"] for each in status["conditions"] if each["message"]} == speaking
    assert {each["message"] for each in status["conditions"]} <= {"", status["message"]}
