"""The types of the parts of a development stack (`Stack`). A part is either a component or a step.
A component is a process that keeps running. A step does some work and ends. Each part names the
parts that it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devstack.processes import Command


def _nothing() -> None:
    """Do nothing: the default of `Component.prepare`."""


@dataclass(frozen=True)
class Component:
    """A part of the stack that keeps running as a process, such as etcd.

    Attributes:
        command: A function that returns the command of the process. The function is called when the
            parts in `needs` are ready, so the command may depend on results of these parts.
        ready: A function that returns whether the component is ready. An exception counts as False.
        needs: The names of the components and steps that this component needs. Before this
            component starts, the needed components must be ready, and the needed steps must be
            done.
        ports: The names of the ports that the component listens on.
        prepare: A function that is called before the component starts, for example to write its
            configuration.
        bound: How many seconds the component may take to become ready.
        patience: How many seconds the component may take to stop after its stop signal. Then the
            component is killed.
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
    """A part of the stack that does some work and ends. For example, a step creates a topic.
    Each call of `Stack.up` runs every step, so a step must do no harm when it is repeated.
    """

    name: str
    run: Callable[[], None]
    needs: tuple[str, ...] = ()
