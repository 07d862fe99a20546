"""The types of the stack's parts. A part is either a component, which is a process that keeps
running, or a step, which runs once. Each part names the parts that it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devstack.processes import Command


def _nothing() -> None:
    """Do nothing. This is the preparation of a component that needs no preparation."""


@dataclass(frozen=True)
class Component:
    """A part of the stack that keeps running as a process, such as etcd.

    Attributes:
        command: Makes the command. The function is called when the parts in `needs` are ready, so
            the command may depend on their results.
        ready: Returns whether the component is ready. An exception counts as False.
        needs: The names of the components that must be ready, and of the steps that must be done,
            before this component starts.
        ports: The names of the ports that the component listens on.
        prepare: Is called before the component starts, for example to write its configuration.
        bound: Seconds that the component may take to become ready.
        patience: Seconds that the component may take to stop before it is killed.
    """

    name: str
    command: Callable[[], Command]
    ready: Callable[[], bool]
    needs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    prepare: Callable[[], None] = _nothing
    bound: float = 60.0
    patience: float = 15.0


@dataclass(frozen=True)
class Step:
    """Work that each `up` does once. Repeating the work must do no harm."""

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()
