"""Access rules determine which namespace may run which DAG in an Airflow. This module finds the
rule that applies to an MLJob, and makes the message if no rule matches. Reserved DAGs are checked
elsewhere (:meth:`.AirflowCatalog.is_reserved`).

A rule can only allow. So one matching rule suffices, whatever the order of the rules, and adding a
rule never takes a permission away. The order matters for the rule's other fields (credentials,
maxActiveRuns, priority): the first rule that matches an MLJob applies to the MLJob.

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
    """The name and the labels of a namespace. An access rule selects namespaces by labels.

    Attributes:
        labels: The known labels of the namespace.
        complete: Whether ``labels`` has all labels of the namespace. If not, a selector with a
            requirement on an unknown label does not select the namespace.
        pending: Whether the operator will soon know all labels of the namespace. An operator that
            doesn't watch namespaces never learns more than the names of namespaces.
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
    namespace. A requirement on an unknown label is not fulfilled.
    """
    return labels.selects(selector, namespace.labels, complete=namespace.complete)


def matches(globs: Iterable[str], dag_id: str) -> bool:
    """Return whether one of the globs matches a DAG id."""
    return any(fnmatchcase(dag_id, glob) for glob in globs)


def first_match(rules: Sequence[AccessRule], namespace: Namespace, dag_id: str) -> int | None:
    """Return the index of the first rule that selects a namespace and has a glob that matches a DAG
    id, or None if there is no such rule. Whether the DAG is reserved is not considered.
    """
    for index, rule in enumerate(rules):
        if selects(rule.namespace_selector, namespace) and matches(rule.dags, dag_id):
            return index
    return None


def depends_on_labels(rules: Iterable[AccessRule], dag_id: str) -> bool:
    """Return whether the first rule whose globs match a DAG selects namespaces by their labels. If
    so, the operator must know the labels of a namespace to find the rule that applies to the
    namespace.
    """
    first = next((rule for rule in rules if matches(rule.dags, dag_id)), EVERYBODY)
    return first.namespace_selector != EVERYBODY.namespace_selector


def refusal(airflow: str, where: str, rules: Sequence[AccessRule], namespace: Namespace, dag_id: str) -> str:
    """Return the message for an MLJob that may not run: the cause, and the access rule that is
    missing.

    Args:
        airflow: How the message names the Airflow, such as ``AirflowInstance prod``.
        where: How the message names the field with the Airflow's access rules, such as ``its
            spec.access``.
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
