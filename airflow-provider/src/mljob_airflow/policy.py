"""A cluster policy that adds the callbacks of :mod:`.events.callbacks` to every task of every DAG.

Airflow finds the policy through the entry point group ``airflow.policy`` (Airflow's documentation,
"Cluster Policies"). The policy does nothing unless ``[mljob] instrument_all_dags`` is true, because
the installation of a package must not change other people's DAGs.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import pluggy

from mljob_airflow import settings
from mljob_airflow.compatibility import UnsupportedAirflowError, assert_supported, installed_version

log = logging.getLogger(__name__)

# This marker equals the marker in airflow.policies. The marker is not imported from
# airflow.policies, because Airflow loads this module while it starts, and airflow.policies can't be
# imported at that time.
hookimpl = pluggy.HookimplMarker("airflow.policy")


@hookimpl
def task_policy(task: Any) -> None:
    """Add the callbacks of :mod:`.events.callbacks` to a task. Do nothing if ``[mljob]
    instrument_all_dags`` is false, or if this version of Airflow is not supported.

    Args:
        task: An Airflow operator or a mapped operator.
    """
    if settings.instrument_all_dags() and _is_supported():
        # Imported here, because this import raises an error if Airflow is too old. An Airflow that
        # is too old must still start.
        from mljob_airflow.events.instrumentation import instrument

        instrument(task)


@cache
def _is_supported() -> bool:
    """Return whether this version of Airflow is supported. If not, log a warning. This function
    raises no exception for such a version, because an exception in a cluster policy would break
    every DAG.
    """
    try:
        assert_supported(installed_version())
    except UnsupportedAirflowError as error:
        log.warning("[mljob] instrument_all_dags has no effect: %s", error)
        return False
    return True
