"""Finds cycles: MLJobs that wait for each other's outputs. No MLJob of a cycle can start a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from ..frozen import frozen

MAX_SEARCHED = 100
"""The maximum number of MLJobs that are searched for a cycle."""
MAX_NAMED = 3
"""The maximum number of MLJobs that the message about a cycle describes. A longer message might be
cut, and the end of the message explains what to do.
"""


@frozen
class CycleSearch:
    """The result of a search for a cycle: MLJobs that wait for each other's outputs.

    Attributes:
        members: The names of the MLJobs in the cycle. Each MLJob waits for the next MLJob, and the
            last MLJob waits for the first MLJob. Empty if no cycle was found.
        complete: False if the search gave up after ``MAX_SEARCHED`` (100) MLJobs. Then it is
            unknown whether there is a cycle.
    """

    members: tuple[str, ...] = ()
    complete: bool = True

    @property
    def message(self) -> str:
        """A text for people: which MLJobs wait for each other, and what to do.

        Raises:
            IndexError: No cycle was found.
        """
        if len(self.members) == 1:
            return f"MLJob {self.members[0]} waits for its own outputs. Remove the outputsRef from spec.confFrom."
        pairs = list(zip(self.members, [*self.members[1:], self.members[0]], strict=True))
        shown = [f"{one} waits for {other}" for one, other in pairs[:MAX_NAMED]]
        waits = ", and ".join(shown if len(pairs) <= MAX_NAMED else [*shown, f"{len(pairs) - MAX_NAMED} more wait"])
        return f"These MLJobs wait for each other's outputs: {waits}. Remove an outputsRef from the spec.confFrom of one of them."


def find_cycle(name: str, names: Iterable[str], waits_for: Callable[[str], Iterable[str]]) -> CycleSearch:
    """Search for a cycle that contains the MLJob ``name``.

    Args:
        name: The name of the MLJob.
        names: The names of the MLJobs whose outputs this MLJob waits for.
        waits_for: Called with the name of an MLJob. Returns the names of the MLJobs whose outputs
            the named MLJob waits for.
    """
    reached_from = dict.fromkeys(names, name)
    pending = deque(reached_from)
    while pending and len(reached_from) <= MAX_SEARCHED:
        current = pending.popleft()
        if current == name:
            members = [reached_from[name]]
            while members[-1] != name:
                members.append(reached_from[members[-1]])
            return CycleSearch(tuple(members[::-1]))
        for further in waits_for(current):
            if further not in reached_from:
                reached_from[further] = current
                pending.append(further)
    return CycleSearch(complete=not pending)
