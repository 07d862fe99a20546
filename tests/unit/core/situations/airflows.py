"""The Airflows that exist, and what the MLJob's namespace may do with them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mljob_contract.airflow_instance import AccessRule, Credentials
from mljob_operator.controllers.airflow_instance.registry import NOT_ASKED
from mljob_operator.core.airflow_instance.access import NAMESPACE_LABEL, Namespace
from mljob_operator.core.airflow_instance.catalog import NO_AIRFLOW, AirflowCatalog
from mljob_operator.core.airflow_instance.instance import Instance

from .mljobs import NAMESPACE, camel
from .times import ago, as_text

NO_DEFAULT = NO_AIRFLOW
"""The value of the argument ``default`` of :func:`catalog` if there is no default Airflow."""
NOT_ASKED_YET = NOT_ASKED.message
"""The message that says why an Airflow can't be used before it has answered for the first time."""


def instance(**spec: Any) -> dict[str, Any]:
    """Return the spec of an AirflowInstance, as :func:`catalog` takes it. ``spec`` contains fields
    in snake case. Without the field ``access``, every namespace may run every DAG.

    ``deleting=True`` is not a field of the spec: :func:`catalog` then makes an AirflowInstance that
    is being deleted.
    """
    usable = {"url": "http://airflow:8080", "credentials": {"tokenSecretRef": {"name": "token"}}, "access": [{}]}
    return usable | camel(spec)


def catalog(
    *,
    instances: Mapping[str, Mapping[str, Any]] | None = None,
    not_ready: Mapping[str, str] | None = None,
    settings_airflow: bool = True,
    settings_access: Sequence[Mapping[str, Any]] | None = None,
    default: str = "",
    full: Collection[str] = (),
    labels: Mapping[str, str] | None = None,
    labels_pending: bool = False,
    logins: Mapping[tuple[str, str], str | None] | None = None,
) -> AirflowCatalog:
    """Return an ``AirflowCatalog``: the Airflows that exist, and what the MLJob's namespace may do
    with them. The empty name stands for the Airflow of the operator's settings.

    Args:
        instances: Specs of AirflowInstances by name.
        not_ready: Why an Airflow can't be used, by the Airflow's name.
        settings_airflow: Whether the operator's settings name an Airflow.
        settings_access: The access rules of the operator's settings; None if MLJOB_AIRFLOW_ACCESS
            is not set.
        default: The name of the Airflow for MLJobs without an airflowRef; ``NO_DEFAULT`` for none.
        full: The names of Airflows that have reached their limit of active runs.
        labels: Further labels of the namespace, in addition to the label with the namespace's name.
        labels_pending: Whether the operator has not read the labels yet.
        logins: Why an access rule's credentials can't be used; None for usable credentials. A key
            is a pair: the names of the Airflow and of the token Secret.
    """
    rules = [AccessRule.model_validate(rule) for rule in settings_access] if settings_access is not None else None
    read = {
        (airflow, Credentials.model_validate({"tokenSecretRef": {"name": secret}})): why
        for (airflow, secret), why in (logins or {}).items()
    }
    namespace = Namespace(NAMESPACE, {NAMESPACE_LABEL: NAMESPACE, **(labels or {})}, pending=labels_pending)
    return AirflowCatalog(
        instances={name: _instance(name, spec) for name, spec in (instances or {}).items()},
        not_ready=not_ready or {},
        own=settings_airflow,
        own_access=rules,
        default=default,
        namespace=namespace,
        logins=read,
        full=full,
    )


def _instance(name: str, spec: Mapping[str, Any]) -> Instance:
    manifest = dict(spec)
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}"}
    if manifest.pop("deleting", False):
        metadata["deletionTimestamp"] = as_text(ago(10))
    return Instance.from_object({"metadata": metadata, "spec": manifest})
