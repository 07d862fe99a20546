"""The parts of the stack: components, which keep running, and steps, which run once.

Each names the parts that come before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devstack.processes import Command


def _nothing() -> None:
    """The preparation of a component that needs none."""


@dataclass(frozen=True)
class Component:
    """One long-running part of the stack.

    Attributes:
        command: Makes the command. Called when `needs` are ready, so the command may use what they
            have made.
        ready: Whether the component is ready. May raise anything, which counts as False.
        needs: The names of the parts that must be ready or done before.
        ports: The names of the ports that the component listens on.
        prepare: Called before the component starts.
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
