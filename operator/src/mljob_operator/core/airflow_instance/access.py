"""Access rules determine which namespace may run which DAG in an Airflow. This module finds the
rule for an MLJob, and writes the message if no rule matches.

A rule can only allow, so one matching rule suffices. The first rule that matches an MLJob also
determines the MLJob's credentials, maxActiveRuns and priority.

Source: Python's fnmatch for globs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase

from mljob_contract.airflow_instance import AccessRule, LabelSelector

from .. import labels
from ..frozen import frozen

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""The label with the namespace's name, which Kubernetes sets on every namespace."""
MAX_LABELS = 10
"""The maximum number of namespace labels that a message shows."""
EVERYBODY = AccessRule()
"""The rule that lets every namespace run every DAG."""
MONITORING_DAGS = ("mljob_monitor", "mljob_monitor_bottlenecks")
"""The monitoring DAGs. These DAGs read the runs of all tenants, so an access rule lets MLJobs run
such a DAG only if the rule names the DAG by its full id and not by a pattern.
"""
OUR_DAGS = ("mljob_cancel", *MONITORING_DAGS)
"""The DAGs that come with the Airflow provider. These DAGs act on runs of all tenants, so no tenant
may trigger them. Monitoring DAGs are an exception if an access rule has their full id
(``MONITORING_DAGS``).
"""


@frozen
class Namespace:
    """The name and the labels of a namespace.

    Attributes:
        labels: The labels that the operator knows.
        complete: Whether ``labels`` has all labels of the namespace.
        pending: Whether ``labels`` is not complete, but will soon be. False if the operator doesn't
            watch namespaces.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    pending: bool = False

    @classmethod
    def known_by_name(cls, name: str, *, pending: bool) -> Namespace:
        """Return a namespace of which the operator knows only the name."""
        return cls(name, {NAMESPACE_LABEL: name}, complete=False, pending=pending)


def selects(selector: LabelSelector, namespace: Namespace) -> bool:
    """Return whether a label selector selects a namespace. An empty selector selects every
    namespace. If the operator does not know all labels of the namespace, a selector with a
    requirement on an unknown label does not select the namespace.
    """
    return labels.selects(selector, namespace.labels, complete=namespace.complete)


def matches(globs: Iterable[str], dag_id: str) -> bool:
    """Return whether one of the globs matches a DAG id."""
    return any(fnmatchcase(dag_id, glob) for glob in globs)


def first_match(rules: Sequence[AccessRule], namespace: Namespace, dag_id: str) -> int | None:
    """Return the index of the first rule that lets a namespace run a DAG, or None if there is no
    such rule. The function does not check whether the DAG is reserved for the platform.
    """
    for index, rule in enumerate(rules):
        if selects(rule.namespace_selector, namespace) and matches(rule.dags, dag_id):
            return index
    return None


def depends_on_labels(rules: Iterable[AccessRule], dag_id: str) -> bool:
    """Return whether the first rule whose globs match the DAG selects namespaces by labels."""
    first = next((rule for rule in rules if matches(rule.dags, dag_id)), EVERYBODY)
    return first.namespace_selector != EVERYBODY.namespace_selector


def refusal(airflow: str, where: str, rules: Sequence[AccessRule], namespace: Namespace, dag_id: str) -> str:
    """Return the message for an MLJob that may not run. The message shows the access rule that is
    missing.

    Args:
        airflow: Words for the Airflow, such as ``AirflowInstance prod``.
        where: Words for the field with the access rules, such as ``its spec.access``.
        rules: The access rules of the Airflow.
        namespace: The namespace of the MLJob.
        dag_id: The DAG that the MLJob is to run.
    """
    shown = [f"{key}={value}" for key, value in sorted(namespace.labels.items())]
    more = f" and {len(shown) - MAX_LABELS} more" if len(shown) > MAX_LABELS else ""
    notes = "" if rules else " An Airflow without access rules lets nobody in."
    if not namespace.complete:
        notes += (
            " Other labels are not known: the operator does not watch namespaces (MLJOB_AIRFLOW_INSTANCES is false)."
        )
    rule = f"{{namespaceSelector: {{matchLabels: {{{NAMESPACE_LABEL}: {namespace.name}}}}}, dags: [{dag_id}]}}"
    return (
        f"No access rule of {airflow} lets namespace {namespace.name} (labels: {', '.join(shown[:MAX_LABELS]) or 'none'}{more}) "
        f"run DAG {dag_id!r}.{notes} The rule that is missing in {where}: {rule}"
    )
