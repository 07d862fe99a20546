from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.airflow_instance import LabelSelector
from mljob_operator.core.labels import may_overlap, query, selects

KEYS = ("team", "tier")
VALUES = ("a", "b", "c")
UNUSED = "of no selector"


def selector(*expressions: dict[str, Any], **labels: str) -> LabelSelector:
    return LabelSelector.model_validate({"matchLabels": labels, "matchExpressions": list(expressions)})


def requires(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


comparisons = st.builds(
    requires, st.sampled_from(KEYS), st.sampled_from(["In", "NotIn"]), st.sampled_from(VALUES), st.sampled_from(VALUES)
)
existence = st.builds(requires, st.sampled_from(KEYS), st.sampled_from(["Exists", "DoesNotExist"]))
selectors = st.builds(
    lambda expressions, labels: selector(*expressions, **labels),
    st.lists(comparisons | existence, max_size=3),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2),
)
EVERY_OBJECT = [
    {key: value for key, value in zip(KEYS, values, strict=True) if value is not None}
    for values in [(team, tier) for team in (None, *VALUES, UNUSED) for tier in (None, *VALUES, UNUSED)]
]
"""All combinations of labels that the selectors of these tests distinguish."""


@given(selectors, selectors)
def test_selectors_overlap_if_and_only_if_both_select_some_object(one: LabelSelector, other: LabelSelector) -> None:
    both = [labels for labels in EVERY_OBJECT if selects(one, labels) and selects(other, labels)]
    assert may_overlap(one, other) is may_overlap(other, one) is bool(both)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        pytest.param(selector(team="a"), selector(team="b"), False, id="two values of one label"),
        pytest.param(selector(team="a"), selector(tier="a"), True, id="two labels"),
        pytest.param(selector(), selector(team="a"), True, id="everything and a part of it"),
        pytest.param(selector(team="a"), selector(requires("team", "NotIn", "a")), False, id="a part and the rest"),
        pytest.param(selector(team="a"), selector(requires("team", "DoesNotExist")), False, id="with and without it"),
        pytest.param(
            selector(requires("team", "NotIn", "a")),
            selector(requires("team", "NotIn", "b")),
            True,
            id="two exclusions",
        ),
        pytest.param(
            selector(requires("team", "Exists")), selector(requires("team", "NotIn", "a")), True, id="another value"
        ),
    ],
)
def test_overlap_of_usual_selectors(one: LabelSelector, other: LabelSelector, overlap: bool) -> None:
    assert may_overlap(one, other) is overlap


def test_query_is_the_syntax_of_the_kubernetes_api() -> None:
    every = selector(
        requires("tier", "In", "b", "a"),
        requires("phase", "NotIn", "x"),
        requires("owner", "Exists"),
        requires("legacy", "DoesNotExist"),
        **{"example.com/team": "ml"},
    )
    assert query(every) == "example.com/team in (ml),tier in (a,b),phase notin (x),owner,!legacy"
    assert query(selector()) == ""


def test_requirement_on_an_unknown_label_is_not_met() -> None:
    assert not selects(selector(requires("team", "NotIn", "a")), {}, complete=False)
    assert selects(selector(requires("team", "NotIn", "a")), {"team": "b"}, complete=False)
