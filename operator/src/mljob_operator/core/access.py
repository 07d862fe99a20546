"""Who may run what in an Airflow: the rules of an AirflowInstance, and what to say where none matches.

A rule allows; nothing forbids. So the order of rules doesn't matter, and adding one never takes anything away.

Sources: metav1.LabelSelector for what a selector selects; Python's fnmatch for globs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from mljob_contract.airflow_instance import AccessRule, LabelRequirement, LabelSelector, SelectorOperator

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
"""Kubernetes puts it on every namespace, with the namespace's name."""
MAX_LABELS = 10
"""Labels of a namespace to show in a message."""


def selects(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """Whether a selector selects something with these labels; an empty one selects everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _meets(requirement, labels) for requirement in selector.match_expressions
    )


def allows(rules: Sequence[AccessRule] | None, labels: Mapping[str, str], dag_id: str) -> bool:
    """Whether a namespace with these labels may run the DAG; without rules everybody may run everything."""
    return rules is None or any(
        selects(rule.namespace_selector, labels) and any(fnmatchcase(dag_id, glob) for glob in rule.dags)
        for rule in rules
    )


def refusal(instance: str, namespace: str, labels: Mapping[str, str], dag_id: str) -> str:
    """Why an MLJob may not run, and the rule that would let it, for people."""
    shown = [f"{key}={value}" for key, value in sorted(labels.items())]
    more = f" and {len(shown) - MAX_LABELS} more" if len(shown) > MAX_LABELS else ""
    rule = f"{{namespaceSelector: {{matchLabels: {{{NAMESPACE_LABEL}: {namespace}}}}}, dags: [{dag_id}]}}"
    return (
        f"No access rule of AirflowInstance {instance} lets namespace {namespace} (labels: {', '.join(shown[:MAX_LABELS]) or 'none'}{more}) "
        f"run DAG {dag_id!r}. The rule that is missing in its spec.access: {rule}"
    )


def _meets(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    match requirement.operator:
        case SelectorOperator.IN:
            return requirement.key in labels and labels[requirement.key] in requirement.values
        case SelectorOperator.NOT_IN:
            return requirement.key not in labels or labels[requirement.key] not in requirement.values
        case SelectorOperator.EXISTS:
            return requirement.key in labels
        case SelectorOperator.DOES_NOT_EXIST:
            return requirement.key not in labels
