"""Who may run what in an Airflow: its access rules, and what to say where none matches.

A rule allows; nothing forbids. So the order of rules does not matter for whether an MLJob may run, and adding a rule never takes anything
away. The order matters for what else a rule says (credentials, maxActiveRuns, priority): an MLJob comes under the first rule that matches it.

Sources: metav1.LabelSelector for what a selector selects; Python's fnmatch for globs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from mljob_contract.airflow_instance import AccessRule, LabelRequirement, LabelSelector, SelectorOperator

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Kubernetes puts it on every namespace, with the namespace's name."""
MAX_LABELS = 10
"""Labels of a namespace to show in a message."""
EVERYBODY = AccessRule()
"""The rule that lets every namespace run every DAG."""
OUR_DAGS = ("mljob_cancel", "mljob_monitor", "mljob_monitor_bottlenecks")
"""The DAGs that come with the Airflow provider. They act on runs of all tenants, so no tenant may trigger them."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace as access rules see it.

    Attributes:
        labels: Those that are known.
        complete: Whether these are all. A requirement on a label that is not known doesn't hold.
        pending: Whether the others will be known in a moment. Where the operator doesn't watch namespaces, it never knows more than their names.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    complete: bool = True
    pending: bool = False

    @classmethod
    def known_by_name(cls, name: str, *, pending: bool) -> Namespace:
        """A namespace of which the name alone is known."""
        return cls(name, {NAMESPACE_LABEL: name}, complete=False, pending=pending)


def selects(selector: LabelSelector, namespace: Namespace) -> bool:
    """Whether a selector selects a namespace; an empty one selects every namespace."""
    return all(namespace.labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _meets(requirement, namespace) for requirement in selector.match_expressions
    )


def matches(globs: Iterable[str], dag_id: str) -> bool:
    """Whether one of these globs matches a DAG id."""
    return any(fnmatchcase(dag_id, glob) for glob in globs)


def first_match(rules: Sequence[AccessRule], namespace: Namespace, dag_id: str) -> int | None:
    """The place in the list of the first rule that lets a namespace run a DAG; None: no rule does."""
    for place, rule in enumerate(rules):
        if selects(rule.namespace_selector, namespace) and matches(rule.dags, dag_id):
            return place
    return None


def depends_on_labels(rules: Iterable[AccessRule], dag_id: str) -> bool:
    """Whether it takes a namespace's labels to tell which rule is the first that lets it run a DAG."""
    first = next((rule for rule in rules if matches(rule.dags, dag_id)), EVERYBODY)
    return first.namespace_selector != EVERYBODY.namespace_selector


def refusal(airflow: str, where: str, rules: Sequence[AccessRule], namespace: Namespace, dag_id: str) -> str:
    """Why an MLJob may not run, and the rule that would let it, for people.

    Args:
        airflow: What to call the Airflow.
        where: What to call the field that its rules are in.
        rules: Its rules.
        namespace: The MLJob's.
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


def _meets(requirement: LabelRequirement, namespace: Namespace) -> bool:
    labels = namespace.labels
    if requirement.key not in labels and not namespace.complete:
        return False
    match requirement.operator:
        case SelectorOperator.IN:
            return requirement.key in labels and labels[requirement.key] in requirement.values
        case SelectorOperator.NOT_IN:
            return requirement.key not in labels or labels[requirement.key] not in requirement.values
        case SelectorOperator.EXISTS:
            return requirement.key in labels
        case SelectorOperator.DOES_NOT_EXIST:
            return requirement.key not in labels
