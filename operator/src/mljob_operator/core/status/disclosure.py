"""Redacts the state and the outputs of an MLJob, because texts of tasks and errors of Airflow may
quote texts from Secrets.

Long texts are redacted before they are cut, because the redaction does not find a short beginning
of a text from a Secret.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from mljob_contract.mljob import MLJobStatus

from ..conf.redaction import NOTHING_HIDDEN, WITHHELD, Redaction
from ..mljob.classification.state import State
from ..mljob.transient_state import TransientState
from ..run.facts import Failure, TaskFact
from ..run.observed_run import ObservedRun
from ..run.outputs import Outputs

Redact = Callable[[str], str]
"""A function that redacts a text that a task, Airflow or another program wrote."""


def redacted_state(s: State, outputs: Outputs | None, redaction: Redaction) -> tuple[State, Outputs | None]:
    """Return the state and the outputs, without texts from Secrets.

    If ``redaction`` is incomplete, the operator does not know all texts that the run has from
    Secrets. Then texts of the run's tasks, errors about the run, and the outputs are withheld. One
    exception: a task's text that is also in the stored status is not withheld, because stored texts
    are redacted already.
    """
    if redaction == NOTHING_HIDDEN:
        return s, outputs
    stored_texts = frozenset() if redaction.complete else _stored_texts(s.job.status)
    observed_run = _observed_run(s.observed_run, partial(_redact, redaction=redaction, stored_texts=stored_texts))
    # An earlier process may have built the conf of the run. Then this process may not know all
    # texts from Secrets in the conf.
    transient = _transient(s.transient, redaction.untrusted if _has_run(s) else redaction.text)
    if (last_error := s.transient.last_error) is not None and last_error.counting:
        transient = replace(transient, last_error=replace(last_error, message=redaction.text(last_error.message)))
    if transient.unknown_params is not None:
        # This process has built the conf, so it knows all texts from Secrets in it.
        transient = replace(transient, unknown_params=redaction.text(transient.unknown_params))
    return replace(s, inputs=replace(s.inputs, observed_run=observed_run, transient=transient)), _outputs(
        outputs, redaction
    )


def may_quote(s: State) -> bool:
    """Return whether the state has texts that may quote the conf of the MLJob's run: texts of the
    run's tasks, or an error about the run.
    """
    transient = s.transient
    errors = transient.last_error, transient.kept_by, transient.cancel_requests.dag_refused
    quotes = any(error is not None for error in errors)
    return _has_run(s) and (quotes or any(_texts(fact) for fact in s.observed_run.tasks.values()))


def _has_run(s: State) -> bool:
    """Return whether the MLJob's current attempt has a run."""
    return s.current.submitted or s.current.by_clearing


def _texts(fact: TaskFact) -> bool:
    details = fact.details
    asks = details.question is not None and details.question.subject is not None
    return details.failure is not None or details.metrics is not None or asks


def _redact(text: str, *, redaction: Redaction, stored_texts: frozenset[str]) -> str:
    return redaction.text(text) if text in stored_texts else redaction.untrusted(text)


def _stored_texts(status: MLJobStatus) -> frozenset[str]:
    found: set[str] = set()
    for task in status.tasks or ():
        if task.error is not None:
            found |= {task.error.message, task.error.type or ""}
        if task.input is not None:
            found.add(task.input.subject or "")
        found.update(task.metrics or ())
    return frozenset(found)


def _observed_run(observed_run: ObservedRun, redact: Redact) -> ObservedRun:
    return replace(
        observed_run,
        tasks={key: _task(fact, redact) if _texts(fact) else fact for key, fact in observed_run.tasks.items()},
    )


def _task(fact: TaskFact, redact: Redact) -> TaskFact:
    failure, metrics, question = fact.details.failure, fact.details.metrics, fact.details.question
    if failure is not None:
        failure = _failure(failure, redact)
    if metrics is not None:
        named = {redact(name): value for name, value in (metrics.metrics or {}).items()}
        metrics = replace(metrics, metrics={name: value for name, value in named.items() if name != WITHHELD})
    if question is not None and question.subject is not None:
        question = replace(question, subject=redact(question.subject))
    return replace(fact, details=replace(fact.details, failure=failure, metrics=metrics, question=question))


def _failure(failure: Failure, redact: Redact) -> Failure:
    kind = redact(failure.type) if failure.type is not None else None
    return replace(failure, message=redact(failure.message), type=kind if kind != WITHHELD else None)


def _transient(transient: TransientState, redact: Redact) -> TransientState:
    last_error, kept_by, requests = transient.last_error, transient.kept_by, transient.cancel_requests
    if requests.dag_refused is not None:
        requests = replace(requests, dag_refused=redact(requests.dag_refused))
    return replace(
        transient,
        last_error=replace(last_error, message=redact(last_error.message)) if last_error is not None else None,
        kept_by=redact(kept_by) if kept_by is not None else None,
        cancel_requests=requests,
    )


def _outputs(outputs: Outputs | None, redaction: Redaction) -> Outputs | None:
    if outputs is None:
        return None
    if not redaction.complete:
        # The entry tells MLJobs that take the outputs that some outputs are lacking.
        return Outputs({}, (WITHHELD,) if outputs.values or outputs.omitted else ())
    return Outputs(redaction.value(outputs.values), tuple(redaction.text(name) for name in outputs.omitted))
