"""The operator itself in the Kubernetes API, in memory."""

from __future__ import annotations

from mljob_operator.core.status.events import Notice


class FakeOperator:
    """Takes the Events about the operator.

    Attributes:
        notices: Those that it took.
    """

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def record(self, notice: Notice) -> None:
        """One more."""
        self.notices.append(notice)
