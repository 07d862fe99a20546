"""A fake that keeps in memory the Kubernetes Events about the operator itself."""

from __future__ import annotations

from mljob_operator.core.status.events import KubeEvent


class FakeOperator:
    """A fake ``OperatorStore``. Keeps in memory the Kubernetes Events that the operator records
    about itself.

    Attributes:
        kube_events: The Events, in order.
    """

    def __init__(self) -> None:
        self.kube_events: list[KubeEvent] = []

    async def record(self, notice: KubeEvent) -> None:
        """Append an Event to ``kube_events``, where the test can read it."""
        self.kube_events.append(notice)
