"""What the stack is made of: components that run, and steps between them, each with what must be there before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devstack.processes import Command


def _nothing() -> None:
    """Most components need no preparation."""


@dataclass(frozen=True)
class Component:
    """One long-running part of the stack."""

    name: str
    command: Callable[[], Command]
    """Asked only when what it needs is ready: a command may hold what others have made."""
    ready: Callable[[], bool]
    """May raise anything while the component isn't up yet; that counts as no."""
    needs: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    """The names of the ports it listens on."""
    prepare: Callable[[], None] = _nothing
    bound: float = 60.0
    """Seconds it may take to become ready."""
    patience: float = 15.0
    """Seconds it may take to end by itself."""


@dataclass(frozen=True)
class Step:
    """Something to do once, between components; must be harmless to repeat."""

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()
