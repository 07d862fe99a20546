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
    """A condition to write into the status, without its transition time.

    Attributes:
        holds: Whether the condition is True.
        is_of_earlier_spec: Whether the condition describes an earlier spec than the current one.
    """

    type: str
    holds: bool
    reason: str
    message: str
    is_of_earlier_spec: bool = False


def transition(
    old: Sequence[Condition] | None, conditions: Iterable[DesiredCondition], generation: int, now: datetime
) -> list[Condition]:
    """Return the conditions to write into the status. A condition whose status has not changed
    keeps its transition time. A condition of an earlier spec has a lower ``observedGeneration`` than
    ``generation``, so ``kubectl wait`` does not take it for a condition of the current spec.
    """
    before = {condition.type: condition for condition in old or ()}
    after = []
    for desired in conditions:
        status = ConditionStatus.TRUE if desired.holds else ConditionStatus.FALSE
        previous = before.get(desired.type)
        observed = _observed_generation(previous, desired, generation)
        if previous is not None and _is_unchanged(previous, status, desired, observed):
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
                observed_generation=observed,
            )
        )
    return after


def _observed_generation(previous: Condition | None, desired: DesiredCondition, generation: int) -> int:
    if not desired.is_of_earlier_spec:
        return generation
    before = previous.observed_generation if previous is not None else None
    return min(generation - 1, before if before is not None else generation)


def _is_unchanged(condition: Condition, status: ConditionStatus, desired: DesiredCondition, generation: int) -> bool:
    current = condition.status, condition.reason, condition.message, condition.observed_generation
    return current == (status, desired.reason, desired.message, generation)
