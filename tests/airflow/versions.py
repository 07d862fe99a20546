"""Parts of Airflow whose module or name depends on the version of Airflow."""

from __future__ import annotations

import copy
from typing import Any

from airflow import settings
from pluggy import PluginManager

try:
    from airflow.sdk.exceptions import ParamValidationError
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:
    # Airflow 3.1
    from airflow.exceptions import ParamValidationError
    from airflow.serialization.serialized_objects import SerializedDAG as DagSerialization

__all__ = ["DagSerialization", "ParamValidationError", "policy_plugins", "validate"]


def policy_plugins() -> PluginManager:
    if hasattr(settings, "get_policy_plugin_manager"):
        return settings.get_policy_plugin_manager()
    if settings.POLICY_PLUGIN_MANAGER is None:
        settings.configure_policy_plugin_manager()
    return settings.POLICY_PLUGIN_MANAGER


def validate(dag: Any, conf: dict[str, Any] | None) -> None:
    if hasattr(dag.params, "deep_merge"):
        dag.params.deep_merge(conf).validate()
    else:
        params = copy.deepcopy(dag.params)
        params.update(conf or {})
        params.validate()
