"""The operator itself in the Kubernetes API, in memory."""

from __future__ import annotations

from mljob_operator.core.status.events import KubeEvent


class FakeOperator:
    """Takes the Events about the operator.

    Attributes:
        notices: Those that it took.
    """

    def __init__(self) -> None:
        self.events_of: list[KubeEvent] = []

    async def record(self, notice: KubeEvent) -> None:
        """One more."""
        self.events_of.append(notice)
