"""Conditions and their transition times.

The ``lastTransitionTime`` of a condition changes only when the condition's status changes between
True and False (Kubernetes API conventions, "Typical status properties").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from mljob_contract.mljob import Condition, ConditionStatus

from ..frozen import frozen


@frozen
class DesiredCondition:
    """A condition to write into the status, without its transition time. ``holds`` says whether the
    condition is True.
    """

    type: str
    holds: bool
    reason: str
    message: str


def transition(
    old: Sequence[Condition] | None, conditions: Iterable[DesiredCondition], generation: int, now: datetime
) -> list[Condition]:
    """Return the conditions to write into the status. A condition whose status has not changed
    keeps its transition time.
    """
    before = {condition.type: condition for condition in old or ()}
    after = []
    for desired in conditions:
        status = ConditionStatus.TRUE if desired.holds else ConditionStatus.FALSE
        previous = before.get(desired.type)
        if previous is not None and _is_unchanged(previous, status, desired, generation):
            after.append(previous)
            continue
        since = previous.last_transition_time if previous and previous.status == status else now.replace(microsecond=0)
        after.append(
            Condition(
                type=desired.type,
                status=status,
                reason=desired.reason,
                message=desired.message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return after


def _is_unchanged(condition: Condition, status: ConditionStatus, desired: DesiredCondition, generation: int) -> bool:
    current = condition.status, condition.reason, condition.message, condition.observed_generation
    return current == (status, desired.reason, desired.message, generation)
