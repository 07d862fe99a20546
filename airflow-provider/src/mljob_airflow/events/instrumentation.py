"""Adds the callbacks of :mod:`.callbacks` to a task that was created without them."""

from __future__ import annotations

from typing import Any

from mljob_airflow.events.callbacks import CALLBACKS

_MAKE_EMPTY_TASKS_RUN = frozenset({"on_execute_callback", "on_success_callback"})


def instrument(task: Any) -> None:
    """Add the callbacks of :mod:`.callbacks` to a task, after the task's own callbacks. A second
    call for the same task adds nothing.

    With an execute callback or a success callback, an EmptyOperator would need an Airflow worker.
    So these two callbacks are not added to an EmptyOperator.

    Args:
        task: An Airflow operator or a mapped operator.
    """
    is_empty = bool(getattr(task, "inherits_from_empty_operator", False))
    for argument, callback in CALLBACKS.items():
        if is_empty and argument in _MAKE_EMPTY_TASKS_RUN:
            continue
        present = getattr(task, argument, None) or []
        callbacks = [present] if callable(present) else list(present)
        if callback not in callbacks:
            # Assign a new list and don't append to the present list, because many tasks may share
            # one list from default_args. The assignment also works for a mapped operator, which
            # stores the attribute in partial_kwargs. Airflow makes the task's instances from
            # partial_kwargs.
            setattr(task, argument, [*callbacks, callback])
