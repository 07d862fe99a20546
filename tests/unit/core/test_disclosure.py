"""Secrets don't get into a status through texts from Airflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mljob_operator.core.conf.redaction import NOTHING_HIDDEN, WITHHELD, Redaction
from mljob_operator.core.run.facts import Details, Report, TaskFact
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.core.status.disclosure import may_quote, redacted_state

from .situations import (
    NOW,
    Given,
    classified,
    ended,
    error,
    given,
    job,
    running,
    status_of,
    stored,
    submitting,
    task,
    under_way,
)

FAILED = task("fit", "failed", error=("ValueError", "no column hunter2"))
ASKING = task("approve", "awaiting_input", asks="Deploy hunter2?")


def measured(name: str) -> TaskFact:
    return replace(task("fit"), details=Details(metrics=Report(1, NOW, metrics={name: 0.5, "loss": 0.1})))


@pytest.mark.parametrize(
    ("situation", "quotes"),
    [
        pytest.param(given(job(), run=running(FAILED)), True, id="the error of a task"),
        pytest.param(given(job(), run=running(ASKING)), True, id="the question of a task"),
        pytest.param(given(job(), run=running(measured("auc"))), True, id="the name of a metric"),
        pytest.param(given(job(), run=running(), error=error()), True, id="an error about the run"),
        pytest.param(given(job(), run=running(), kept_by="No DAG train."), True, id="why the run did not start"),
        pytest.param(
            given(job(), run=running(), cancel_dag_refused="It is paused."), True, id="why a DAG can't cancel"
        ),
        pytest.param(given(job(), run=running(task("fit"))), False, id="the state of a task"),
        pytest.param(
            given(job(), run=running(task("approve", "awaiting_input"))), False, id="a task without a question"
        ),
        pytest.param(given(job(), error=error()), False, id="an error, and no run has another process's conf"),
        pytest.param(
            given(job(backoff_limit=1), status=submitting(2, history=(ended(1),)), error=error()),
            True,
            id="an error while the run of an earlier attempt is retried",
        ),
    ],
)
def test_texts_of_a_run_and_errors_about_it_may_quote_its_conf(situation: Given, quotes: bool) -> None:
    assert may_quote(classified(situation)) is quotes


KNOWN = Redaction(frozenset({"hunter2"}))
UNKNOWN = Redaction(frozenset({"hunter2"}), complete=False)


def details(situation: Given, task_id: str, redaction: Redaction) -> Details:
    state, _ = redacted_state(classified(situation), None, redaction)
    return state.observed_run.tasks[task_id, -1].details


@pytest.mark.parametrize(
    ("redaction", "type_", "message"),
    [
        pytest.param(KNOWN, "ValueError", "no column ***", id="known"),
        pytest.param(UNKNOWN, None, WITHHELD, id="not all known"),
    ],
)
def test_the_error_of_a_task_is_redacted_or_withheld(redaction: Redaction, type_: str | None, message: str) -> None:
    failure = details(given(job(), run=running(FAILED)), "fit", redaction).failure
    assert failure is not None
    assert (failure.type, failure.message) == (type_, message)


@pytest.mark.parametrize(
    ("redaction", "subject"),
    [pytest.param(KNOWN, "Deploy ***?", id="known"), pytest.param(UNKNOWN, WITHHELD, id="not all known")],
)
def test_the_question_of_a_task_is_redacted_or_withheld(redaction: Redaction, subject: str) -> None:
    question = details(given(job(), run=running(ASKING)), "approve", redaction).question
    assert question is not None
    assert question.subject == subject


@pytest.mark.parametrize(
    ("redaction", "metrics"),
    [pytest.param(KNOWN, {"***": 0.5, "loss": 0.1}, id="known"), pytest.param(UNKNOWN, {}, id="not all known")],
)
def test_metrics_are_renamed_or_left_out(redaction: Redaction, metrics: dict[str, float]) -> None:
    reported = details(given(job(), run=running(measured("hunter2"))), "fit", redaction).metrics
    assert reported is not None
    assert reported.metrics == metrics


def test_texts_that_the_status_has_already_stay_while_secrets_are_not_known() -> None:
    tasks: list[dict[str, Any]] = [
        {"taskId": "fit", "state": "failed", "error": {"type": "ValueError", "message": "no column"}},
        {"taskId": "load", "state": "failed", "error": {"message": "killed"}},
        {"taskId": "approve", "state": "awaiting_input", "input": {"subject": "Deploy?"}},
        {"taskId": "watch", "state": "running", "metrics": {"auc": 0.4}},
    ]
    facts = (
        task("fit", "failed", error=("ValueError", "no column")),
        task("load", "failed", error=("KeyError", "killed")),
        task("approve", "awaiting_input", asks="Deploy?"),
        replace(measured("auc"), task_id="watch"),
    )
    before = given(job(), status=under_way(), run=running(*facts))
    known = stored(before, status_of(before) | {"tasks": tasks})

    fit, load = details(known, "fit", UNKNOWN).failure, details(known, "load", UNKNOWN).failure
    assert fit is not None
    assert load is not None
    assert (fit.type, fit.message) == ("ValueError", "no column")
    assert (load.type, load.message) == (None, "killed"), "the status does not have this exception's class"
    question, metrics = details(known, "approve", UNKNOWN).question, details(known, "watch", UNKNOWN).metrics
    assert question is not None
    assert metrics is not None
    assert (question.subject, metrics.metrics) == ("Deploy?", {"auc": 0.5}), "the metric's value is new"


@pytest.mark.parametrize(
    ("situation", "message"),
    [
        pytest.param(given(job()), "*** is refused", id="before the run, whose conf this process builds"),
        pytest.param(given(job(), run=running()), WITHHELD, id="about a run with another process's conf"),
    ],
)
def test_errors_are_withheld_if_another_process_may_have_built_the_conf(situation: Given, message: str) -> None:
    refused = "hunter2 is refused"
    failing = replace(situation, error=error(message=refused), kept_by=refused, cancel_dag_refused=refused)
    state, _ = redacted_state(classified(failing), None, UNKNOWN)
    assert state.transient.last_error is not None
    assert state.transient.last_error.message == message
    assert (state.transient.kept_by, state.transient.cancel_requests.dag_refused) == (message, message)


def test_error_about_the_runs_of_a_changed_spec_is_redacted_and_not_withheld() -> None:
    counting = error(message="hunter2 did not answer", counting=True)
    state, _ = redacted_state(classified(job(), run=running(), error=counting), None, UNKNOWN)
    assert state.transient.last_error is not None
    assert state.transient.last_error.message == "*** did not answer"


@pytest.mark.parametrize(
    ("outputs", "redaction", "expected"),
    [
        pytest.param(None, KNOWN, None, id="not read yet"),
        pytest.param(
            Outputs({"dsn": ["hunter2", 7]}, ("hunter2.csv",)),
            KNOWN,
            Outputs({"dsn": ["***", 7]}, ("***.csv",)),
            id="known",
        ),
        pytest.param(Outputs({"score": 1}, ("model",)), UNKNOWN, Outputs({}, (WITHHELD,)), id="not all known"),
        pytest.param(Outputs({}), UNKNOWN, Outputs({}), id="not all known, and none published"),
    ],
)
def test_outputs_are_redacted_or_withheld(
    outputs: Outputs | None, redaction: Redaction, expected: Outputs | None
) -> None:
    assert redacted_state(classified(job(), run=running()), outputs, redaction)[1] == expected


def test_nothing_changes_for_an_mljob_without_secrets() -> None:
    state, outputs = classified(job(), run=running(FAILED)), Outputs({"score": 1})
    assert redacted_state(state, outputs, NOTHING_HIDDEN) == (state, outputs)
