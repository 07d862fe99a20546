"""How an MLJob waits for upstream MLJobs, whose outputs it uses."""

from __future__ import annotations

from typing import Any

import pytest

from .situations import (
    AddFinalizer,
    BeginAttempt,
    ClearFailed,
    Given,
    LookUpRun,
    ReadUpstreams,
    Release,
    Submit,
    Wait,
    ago,
    backfill_job,
    catalog,
    decided,
    ended,
    finished,
    given,
    job,
    later,
    new,
    not_found,
    reported,
    retrying,
    submitting,
    under_way,
    upstream,
    upstream_run,
)

TAKES: dict[str, Any] = {"conf_from": [{"outputsRef": {"name": "data"}}]}
READY = {"data": upstream()}
FULL = catalog(full=[""])
LOST = submitting(2, history=(ended(1),), upstreams=[upstream_run()])
"""A status that announces the second attempt of a backfill, which repeats the failed runs of the
first attempt.
"""


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(**TAKES), status=new()), ReadUpstreams(("data",)), id="reads the other MLJob first"),
        pytest.param(
            given(job(held=False, **TAKES), status=new(), upstreams={"data": None}),
            Wait(ago(1 - 300)),
            id="waits, and reads it again after a while",
        ),
        pytest.param(
            given(job(**TAKES), status=new(), upstreams={"data": None}, upstreams_known_at=ago(300)),
            ReadUpstreams(("data",)),
            id="reads it again",
        ),
        pytest.param(
            given(job(held=False, **TAKES), status=new(), upstreams=READY),
            AddFinalizer(),
            id="starts after its success",
        ),
        pytest.param(
            given(job(**TAKES), status=new(), upstreams={}, catalog=catalog(not_ready={"": "It is down."})),
            Wait(),
            id="reads nothing for an Airflow that is not ready",
        ),
        pytest.param(
            given(job(**TAKES), status=new(), upstreams={"data": None}),
            Release(),
            id="waits without the finalizer",
        ),
        pytest.param(
            given(job(**TAKES), status=submitting(upstreams=[upstream_run()]), upstreams=READY),
            Submit(),
            id="submits with the outputs that are recorded",
        ),
        pytest.param(
            given(
                job(**TAKES),
                status=submitting(upstreams=[upstream_run()]),
                upstreams={"data": upstream(attempt=2)},
                unknown_until=later(10),
            ),
            LookUpRun(),
            id="looks for a run with older outputs",
        ),
        pytest.param(
            given(job(**TAKES), status=submitting(upstreams=[upstream_run()]), upstreams={}),
            ReadUpstreams(("data",)),
            id="reads it again after a restart",
        ),
        pytest.param(
            given(
                job(**TAKES),
                status=submitting(upstreams=[upstream_run()]),
                upstreams={"data": None},
                unknown_until=ago(1),
            ),
            LookUpRun(),
            id="looks for a run that may exist though the other MLJob was deleted",
        ),
        pytest.param(
            given(
                job(backoff_limit=1, **TAKES),
                status=submitting(2, history=(ended(1),), upstreams=[upstream_run()]),
            ),
            ClearFailed(),
            id="clears failed tasks without the other MLJob",
        ),
        pytest.param(
            given(backfill_job(backoff_limit=1, **TAKES), status=LOST, conf_lost=True),
            ReadUpstreams(("data",)),
            id="reads the other MLJob if Airflow has lost the conf of the earlier backfill",
        ),
        pytest.param(
            given(backfill_job(backoff_limit=1, **TAKES), status=LOST, conf_lost=True, upstreams=READY),
            ClearFailed(),
            id="repeats a lost backfill with the outputs that are recorded",
        ),
    ],
)
def test_start_waits_for_outputs(situation: Given, expected: object) -> None:
    assert decided(situation) == expected


def test_refused_change_of_the_spec_keeps_the_conf_of_the_earlier_run() -> None:
    before: dict[str, Any] = {"conf": {}}
    action = decided(
        job(conf={"a": 1}, **TAKES), status=submitting(2, run=2, ran=before, history=(ended(1, ran=before),))
    )
    assert isinstance(action, Submit)
    assert action.conf_of is not None


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(**TAKES), status=new(), upstreams=READY), [upstream_run()], id="the first attempt"),
        pytest.param(
            given(
                job(**TAKES),
                status=submitting(upstreams=[upstream_run()]),
                upstreams={"data": upstream(attempt=2)},
                run=not_found(since=ago(10), again=True),
            ),
            [upstream_run(attempt=2)],
            id="an attempt that replaces an announced one",
        ),
        pytest.param(
            given(job(backoff_limit=1, **TAKES), status=retrying(at=ago(60), upstreams=[upstream_run()])),
            [upstream_run()],
            id="an attempt that clears failed tasks",
        ),
        pytest.param(
            given(
                backfill_job(backoff_limit=1, **TAKES),
                status=LOST,
                conf_lost=True,
                upstreams={"data": upstream(attempt=2)},
                run=not_found(since=ago(10), again=True),
            ),
            [upstream_run(attempt=2)],
            id="an attempt that repeats a lost backfill",
        ),
        pytest.param(
            given(
                job(backoff_limit=1, retry_strategy="NewRun", **TAKES),
                status=retrying(at=ago(60), upstreams=[upstream_run()]),
                upstreams={"data": upstream(attempt=2)},
            ),
            [upstream_run(attempt=2)],
            id="an attempt with a new run",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec", **TAKES), status=new(), newest=0, upstreams=READY),
            [upstream_run()],
            id="OncePerSpec, without an earlier run",
        ),
        pytest.param(
            given(job(run_policy="OncePerSpec", **TAKES), status=new(), newest=1, upstreams=READY),
            [],
            id="OncePerSpec, with an earlier run that keeps its conf",
        ),
        pytest.param(
            given(
                job(run_policy="OncePerSpec", **TAKES),
                status=finished(
                    number=2,
                    ran={"conf": {"a": 1}},
                    history=(ended(1, "Succeeded", "Succeeded"),),
                    upstreams=[upstream_run()],
                ),
                upstreams=READY,
            ),
            [],
            id="OncePerSpec, with the earlier run of a spec that becomes the same again",
        ),
    ],
)
def test_attempt_names_the_runs_behind_its_conf(situation: Given, expected: list[dict[str, Any]]) -> None:
    action = decided(situation)
    assert isinstance(action, BeginAttempt)
    assert [run.model_dump(by_alias=True) for run in action.attempt.upstreams] == expected


@pytest.mark.parametrize(
    ("situation", "reason"),
    [
        pytest.param(
            given(job(**TAKES), upstreams={"data": None}, catalog=FULL), "WaitingForMLJob", id="not admission"
        ),
        pytest.param(given(job(**TAKES), upstreams=READY, catalog=FULL), "ConcurrencyLimit", id="then admission"),
        pytest.param(
            given(job(**TAKES), upstreams={"data": None}, catalog=catalog(settings_access=[{"dags": ["other"]}])),
            "ValidationFailed",
            id="a refusal is told before",
        ),
        pytest.param(given(job(suspend=True, **TAKES), upstreams=READY), "Suspended", id="a suspended MLJob"),
        pytest.param(
            given(job(cancel=True, **TAKES), upstreams={"data": None}), "CancelRequested", id="a cancellation"
        ),
    ],
)
def test_status_says_what_an_mljob_waits_for(situation: Given, reason: str) -> None:
    assert reported(situation)["reason"] == reason


def test_finished_mljob_tells_that_its_changed_spec_waits() -> None:
    status = reported(
        job(run_policy="OnChange", **TAKES), status=finished(ran={"conf_from": []}), upstreams={"data": None}
    )
    conditions = {condition["type"]: condition["reason"] for condition in status["conditions"]}
    assert (status["phase"], conditions["SpecApplied"]) == ("Succeeded", "WaitingForMLJob")


def test_run_in_progress_needs_no_other_mljob() -> None:
    assert reported(job(**TAKES), status=under_way(upstreams=[upstream_run()]), upstreams={})["reason"] == "Running"
