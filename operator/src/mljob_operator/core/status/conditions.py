"""Conditions and their transitions.

A condition's ``lastTransitionTime`` moves only when its status does (Kubernetes API conventions, "Typical status properties"), so that
``kubectl wait`` and GitOps tools can tell a change from a repetition. Complete and Failed appear when they are true, as on a
batch/v1 Job; Reconciling and Stalled are kstatus's and are always there once the operator has acted.
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
    """The conditions to write: those wanted, with the old transition time where the status is the old one."""
    before = {condition.type: condition for condition in old or ()}
    after = []
    for want in wanted:
        status = ConditionStatus.TRUE if want.holds else ConditionStatus.FALSE
        previous = before.get(want.type)
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
