"""A cluster policy that adds the callbacks to every task of every DAG, without a change to any DAG.

Airflow finds it through the entry point group ``airflow.policy`` and calls it for each task that it
parses, in the DAG processor and in the workers (Airflow docs: "Cluster Policies"). It does nothing
unless ``[mljob] instrument_all_dags`` is true: installing a package must not change other people's
DAGs.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import pluggy

from mljob_airflow import settings
from mljob_airflow.compatibility import UnsupportedAirflowError, assert_supported, installed_version

log = logging.getLogger(__name__)

# The marker that airflow.policies exports. Airflow loads this module while it starts, so
# airflow.policies can't be imported here.
hookimpl = pluggy.HookimplMarker("airflow.policy")


@hookimpl
def task_policy(task: Any) -> None:
    """Airflow's hook: add the callbacks to ``task``, an operator or a mapped operator, if the
    configuration says so.
    """
    if settings.instrument_all_dags() and _is_supported():
        # Late: this import refuses an Airflow that is too old, and such an Airflow must still
        # start.
        from mljob_airflow.events.instrumentation import instrument

        instrument(task)


@cache
def _is_supported() -> bool:
    """Whether this Airflow is supported. If not, one warning says so: an exception would break
    every DAG.
    """
    try:
        assert_supported(installed_version())
    except UnsupportedAirflowError as error:
        log.warning("[mljob] instrument_all_dags has no effect: %s", error)
        return False
    return True
