"""Events about the operator itself, in memory."""

from __future__ import annotations

from mljob_operator.core.notices import Notice


class FakeOperator:
    """Keeps the Events about the operator.

    Attributes:
        notices: The Events, in order.
    """

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    async def record(self, notice: Notice) -> None:
        """Keep an Event."""
        self.notices.append(notice)
