"""A cluster policy that instruments every task of every DAG, with no DAG changed.

Airflow finds it through the entry point group ``airflow.policy`` and calls it for each task that it parses, in the DAG
processor and in the workers (Airflow docs: "Cluster Policies"). It does nothing unless ``[mljob] instrument_all_dags`` is
true: who installs a package has not agreed to every DAG being observed.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import pluggy

from mljob_airflow import settings
from mljob_airflow.compatibility import UnsupportedAirflowError, assert_supported, installed_version

log = logging.getLogger(__name__)

# The marker that airflow.policies exports; made here because Airflow loads this module while it is itself starting.
hookimpl = pluggy.HookimplMarker("airflow.policy")

_MAKE_EMPTY_TASKS_RUN = frozenset({"on_execute_callback", "on_success_callback"})


@hookimpl
def task_policy(task: Any) -> None:
    """Airflow's hook: add our callbacks to ``task``, an operator or a mapped operator, if the configuration says so."""
    if settings.instrument_all_dags() and _is_supported():
        instrument(task)


def instrument(task: Any) -> None:
    """Add each of our callbacks to ``task`` behind those that it has, once.

    The scheduler marks an EmptyOperator as succeeded without running it, unless it has an execute or success callback: those are
    left out, since an observer must not be what makes a task need a worker. The operator learns of such tasks from REST.
    """
    # Late: Airflow loads this module when it starts, and an Airflow that is too old for the callbacks has to start all the same.
    from mljob_airflow.events.callbacks import CALLBACKS

    is_empty = bool(getattr(task, "inherits_from_empty_operator", False))
    for argument, callback in CALLBACKS.items():
        if is_empty and argument in _MAKE_EMPTY_TASKS_RUN:
            continue
        present = getattr(task, argument, None) or []
        callbacks = [present] if callable(present) else list(present)
        if callback not in callbacks:
            # A new list: default_args may have given one list to many tasks. A mapped operator's attribute writes
            # to its partial_kwargs, from which its instances are made.
            setattr(task, argument, [*callbacks, callback])


@cache
def _is_supported() -> bool:
    """Whether this Airflow is; if not, that is said once: an error here would be one of every DAG."""
    try:
        assert_supported(installed_version())
    except UnsupportedAirflowError as error:
        log.warning("[mljob] instrument_all_dags is without effect: %s", error)
        return False
    return True
