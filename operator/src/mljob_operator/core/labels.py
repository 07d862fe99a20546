"""Label selectors.

Source: metav1.LabelSelector; Kubernetes' documentation, "Labels and Selectors".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mljob_contract.airflow_instance import LabelRequirement, LabelSelector, SelectorOperator

from .frozen import frozen


def selects(selector: LabelSelector, labels: Mapping[str, str], *, complete: bool = True) -> bool:
    """Return whether a selector selects an object. An empty selector selects every object.

    Args:
        selector: The selector.
        labels: The known labels of the object.
        complete: Whether ``labels`` has all labels of the object. If not, a selector with a
            requirement on an unknown label does not select the object.
    """
    return all(
        (requirement.key in labels or complete) and labels.get(requirement.key) in _Allowed.by(requirement)
        for requirement in _requirements(selector)
    )


def may_overlap(one: LabelSelector, other: LabelSelector) -> bool:
    """Return whether there can be an object that both selectors select."""
    allowed: dict[str, _Allowed] = {}
    for requirement in (*_requirements(one), *_requirements(other)):
        allowed[requirement.key] = allowed.get(requirement.key, _ANYTHING) & _Allowed.by(requirement)
    return not any(values.is_empty for values in allowed.values())


def query(selector: LabelSelector) -> str:
    """Return a selector as the value of the query parameter ``labelSelector``. The value of an
    empty selector is an empty text.
    """
    return ",".join(map(_condition, _requirements(selector)))


@frozen
class _Allowed:
    """A set of values that a label may have. The value None means that an object lacks the label.

    Attributes:
        values: The allowed values. If ``inverted`` is true, the values that are not allowed.
        inverted: Whether all values except ``values`` are allowed.
    """

    values: frozenset[str | None]
    inverted: bool = False

    @classmethod
    def by(cls, requirement: LabelRequirement) -> _Allowed:
        match requirement.operator:
            case SelectorOperator.IN:
                return cls(frozenset(requirement.values))
            case SelectorOperator.NOT_IN:
                return cls(frozenset(requirement.values), inverted=True)
            case SelectorOperator.EXISTS:
                return cls(frozenset({None}), inverted=True)
            case SelectorOperator.DOES_NOT_EXIST:
                return cls(frozenset({None}))

    def __contains__(self, value: str | None) -> bool:
        return (value in self.values) is not self.inverted

    def __and__(self, other: _Allowed) -> _Allowed:
        match self.inverted, other.inverted:
            case False, False:
                return _Allowed(self.values & other.values)
            case False, True:
                return _Allowed(self.values - other.values)
            case True, False:
                return _Allowed(other.values - self.values)
            case _:
                return _Allowed(self.values | other.values, inverted=True)

    @property
    def is_empty(self) -> bool:
        return not self.values and not self.inverted


_ANYTHING = _Allowed(frozenset(), inverted=True)


def _requirements(selector: LabelSelector) -> Iterable[LabelRequirement]:
    for key, value in selector.match_labels.items():
        yield LabelRequirement(key=key, operator=SelectorOperator.IN, values=[value])
    yield from selector.match_expressions


def _condition(requirement: LabelRequirement) -> str:
    key, values = requirement.key, ",".join(sorted(requirement.values))
    match requirement.operator:
        case SelectorOperator.IN:
            return f"{key} in ({values})"
        case SelectorOperator.NOT_IN:
            return f"{key} notin ({values})"
        case SelectorOperator.EXISTS:
            return key
        case SelectorOperator.DOES_NOT_EXIST:
            return f"!{key}"
