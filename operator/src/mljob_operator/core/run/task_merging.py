"""Combines a new fact about a task instance with the fact that is already known.
:mod:`.observed_run` explains the rules.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from mljob_contract.mljob import StatusSource

from .facts import Details, Failure, Report, TaskFact
from .states import ACTIVE_TASK, RETRY_RANK

GRACE = timedelta(seconds=3)
"""How long an event is believed although an answer of the REST API contradicts it. Airflow may have
read its database for the answer before the change was stored in the database.
"""
CONFIRMED_WITHIN = timedelta(seconds=30)
"""The longest time for which an event is shown without confirmation by the REST API. This time is
several times as long as the interval of the change feed, which confirms most events.
"""

_Timed = TypeVar("_Timed", Report, Failure)


def merge_event(old: TaskFact, new: TaskFact, *, past: bool) -> TaskFact:
    """Combine what is known of a task instance with a new event. The result has the later of the
    two states. States are ordered by try, then by their usual order within a try, such as queued
    before running, and then by time (see :attr:`.TaskFact.order`).

    Args:
        old: What is known of the task instance.
        new: The task instance in the event.
        past: Whether the run was cleared since the event. The state in the event is then ignored.
    """
    facts = (old,) if past else (old, new)
    latest = max(facts, key=lambda fact: fact.order)
    starts = [fact.start for fact in facts if fact.start and fact.try_number == latest.try_number]
    ends = [fact.end for fact in facts if fact.end and (fact.try_number, fact.rank) == (latest.try_number, latest.rank)]
    same = (old.try_number, old.state, old.certain) == (latest.try_number, latest.state, latest.certain)
    merged = replace(
        latest,
        confirmed=latest.confirmed or (latest is not old and same and not old.unconfirmed),
        max_tries=max((fact.max_tries for fact in (old, new) if fact.max_tries is not None), default=None),
        start=min(starts, default=None),
        # An event of Airflow's own producer has no time of the end. The time then comes from the
        # event of the MLJob provider.
        end=min(ends, default=None),
        details=Details(
            progress=_latest(old.details.progress, new.details.progress),
            metrics=_latest(old.details.metrics, new.details.metrics),
            failure=_best_failure(old.details.failure, new.details.failure),
            question=latest.details.question,
        ),
    )
    return old if merged == old else merged


def merge_answer(old: TaskFact, rest: TaskFact, *, final: bool) -> TaskFact:
    """Combine what is known of a task instance with an answer of the REST API.

    Args:
        old: What is known of the task instance.
        rest: The task instance in the answer.
        final: Whether the state in the answer replaces the state in ``old`` even if ``old`` is
            newer.
    """
    if old.source is StatusSource.REST:
        accepted = final or rest.observed_at >= old.observed_at
    else:
        ahead = (rest.try_number, rest.rank) >= (old.try_number, old.rank) and not _overtaken(old, rest)
        accepted = final or ahead or not (is_recent(old, rest.observed_at) or _unstored_end(old, rest))
    base = rest if accepted else old
    if accepted and (old.state, old.try_number, old.certain) == (rest.state, rest.try_number, rest.certain):
        # The answer says nothing new, so the source that reported the state first stays.
        event_first = old.source is StatusSource.KAFKA
        base = replace(
            rest,
            source=old.source,
            occurred_at=old.occurred_at,
            observed_at=old.observed_at if event_first else rest.observed_at,
            confirmed=event_first,
        )
    details = _without_contradicted(old.details, rest) if accepted else old.details
    is_asked = base.awaits_input and base.try_number == old.try_number
    return replace(
        base,
        max_tries=rest.max_tries if rest.max_tries is not None else old.max_tries,
        details=Details(
            progress=details.progress,
            metrics=details.metrics,
            failure=_best_failure(details.failure, rest.details.failure),
            question=old.details.question if is_asked else None,
        ),
    )


def _without_contradicted(details: Details, rest: TaskFact) -> Details:
    try_number = rest.try_number

    def reached(report: Report | None) -> Report | None:
        return report if report is not None and report.try_number <= try_number else None

    last_failed = try_number if rest.rank >= RETRY_RANK else try_number - 1
    failure = details.failure
    if failure is not None and failure.try_number > last_failed:
        failure = None
    return replace(details, progress=reached(details.progress), metrics=reached(details.metrics), failure=failure)


def is_recent(fact: TaskFact, requested_at: datetime) -> bool:
    """Return whether ``fact`` comes from an event that was observed after ``requested_at``, or less
    than ``GRACE`` (3 seconds) before ``requested_at``. The answer to a request that was sent to the
    REST API at ``requested_at`` possibly lacks this event.
    """
    return fact.source is StatusSource.KAFKA and fact.observed_at + GRACE > requested_at


def _overtaken(event: TaskFact, rest: TaskFact) -> bool:
    """Return whether an answer is older than an event, and the two report different active states
    of the same try.
    """
    moved = event.state is not rest.state and event.state in ACTIVE_TASK and rest.state in ACTIVE_TASK
    return moved and event.try_number == rest.try_number and rest.observed_at < event.observed_at


def _unstored_end(old: TaskFact, rest: TaskFact) -> bool:
    """Return whether the event ``old`` reports the end of a try, and Airflow's database may lack
    this end. Airflow's worker publishes the end of a try before the worker reports the end to
    Airflow's API server.
    """
    recent = not old.confirmed and rest.observed_at < old.observed_at + CONFIRMED_WITHIN
    return recent and old.try_number == rest.try_number and old.rank >= RETRY_RANK and 0 < rest.rank < RETRY_RANK


def _latest(one: _Timed | None, other: _Timed | None) -> _Timed | None:
    if one is None or other is None:
        return one or other
    order_one, order_other = (one.try_number, one.occurred_at), (other.try_number, other.occurred_at)
    if order_one == order_other and one != other:
        # Two reports have the same time. The choice between them must not depend on the order in
        # which they arrived. This case is rare, so comparing by ``repr`` may be slow.
        return max(one, other, key=repr)
    return other if order_other > order_one else one


def _best_failure(one: Failure | None, other: Failure | None) -> Failure | None:
    if one is None or other is None:
        return one or other
    order_one = (one.try_number, one.type is not None, one.occurred_at, one.message)
    order_other = (other.try_number, other.type is not None, other.occurred_at, other.message)
    return other if order_other > order_one else one
