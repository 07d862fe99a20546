"""Conditions and their transitions.

A condition's ``lastTransitionTime`` changes only with its status (Kubernetes API conventions,
"Typical status properties"), so that ``kubectl wait`` and GitOps tools can tell a change from a
repetition. Complete and Failed appear only when they are true, like those of a batch/v1 Job.
Reconciling and Stalled come from kstatus and are always present once the operator has acted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mljob_contract.mljob import Condition, ConditionStatus


@dataclass(frozen=True, slots=True)
class DesiredCondition:
    """A condition as it should read now."""

    type: str
    holds: bool
    reason: str
    message: str


def transition(
    old: Sequence[Condition] | None, wanted: Iterable[DesiredCondition], generation: int, now: datetime
) -> list[Condition]:
    """The conditions to write: the wanted conditions, with the old transition time if their status
    has not changed. A condition that reads as before is kept as it is.
    """
    before = {condition.type: condition for condition in old or ()}
    after = []
    for want in wanted:
        status = ConditionStatus.TRUE if want.holds else ConditionStatus.FALSE
        previous = before.get(want.type)
        if previous is not None and _reads_so(previous, status, want, generation):
            after.append(previous)
            continue
        since = previous.last_transition_time if previous and previous.status == status else now.replace(microsecond=0)
        after.append(
            Condition(
                type=want.type,
                status=status,
                reason=want.reason,
                message=want.message,
                last_transition_time=since,
                observed_generation=generation,
            )
        )
    return after


def _reads_so(condition: Condition, status: ConditionStatus, want: DesiredCondition, generation: int) -> bool:
    reads = condition.status, condition.reason, condition.message, condition.observed_generation
    return reads == (status, want.reason, want.message, generation)
