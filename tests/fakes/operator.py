from __future__ import annotations

from mljob_operator.core.status.events import KubeEvent


class FakeOperator:
    """A fake :class:`mljob_operator.ports.OperatorStore` that keeps the recorded Events."""

    def __init__(self) -> None:
        self.kube_events: list[KubeEvent] = []

    async def record(self, notice: KubeEvent) -> None:
        self.kube_events.append(notice)
