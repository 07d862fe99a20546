"""Adding the callbacks to a task that exists already."""

from __future__ import annotations

from typing import Any

from mljob_airflow.events.callbacks import CALLBACKS

_MAKE_EMPTY_TASKS_RUN = frozenset({"on_execute_callback", "on_success_callback"})


def instrument(task: Any) -> None:
    """Add each callback to ``task``, an operator or a mapped operator, after the callbacks that it
    has. A second call adds nothing.

    The scheduler marks an EmptyOperator as succeeded without running it, unless it has an execute
    or success callback. Such a task doesn't get these two callbacks, because the task would then
    need a worker. The operator reads its state from REST.
    """
    is_empty = bool(getattr(task, "inherits_from_empty_operator", False))
    for argument, callback in CALLBACKS.items():
        if is_empty and argument in _MAKE_EMPTY_TASKS_RUN:
            continue
        present = getattr(task, argument, None) or []
        callbacks = [present] if callable(present) else list(present)
        if callback not in callbacks:
            # A new list, because many tasks may share one list from default_args. A mapped operator
            # writes the attribute to its partial_kwargs, from which Airflow makes its instances.
            setattr(task, argument, [*callbacks, callback])
