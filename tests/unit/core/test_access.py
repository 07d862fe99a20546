"""Who may run what: rules allow, nothing forbids, and a refusal names the rule that is missing."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.airflow_instance import AccessRule, LabelSelector
from mljob_operator.core.access import NAMESPACE_LABEL, allows, refusal, selects

names = st.text("abc", min_size=1, max_size=2)
labels = st.dictionaries(names, names, max_size=3)
dag_ids = st.text("abcXY_.-", min_size=1, max_size=8)
requirements = st.one_of(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        names,
        st.sampled_from(["In", "NotIn"]),
        st.lists(names, min_size=1, max_size=2),
    ),
    st.builds(
        lambda key, operator: {"key": key, "operator": operator}, names, st.sampled_from(["Exists", "DoesNotExist"])
    ),
)
selectors = st.builds(
    lambda match, expressions: LabelSelector.model_validate({"matchLabels": match, "matchExpressions": expressions}),
    labels,
    st.lists(requirements, max_size=2),
)
globs = st.text("abcXY_.-*?", min_size=1, max_size=5)
rules = st.builds(AccessRule, namespace_selector=selectors, dags=st.lists(globs, min_size=1, max_size=3))


def rule(dags: list[str] | None = None, **match_labels: str) -> AccessRule:
    return AccessRule.model_validate(
        {"namespaceSelector": {"matchLabels": match_labels}, **({"dags": dags} if dags else {})}
    )


def test_without_rules_everybody_may_run_everything() -> None:
    assert allows(None, {}, "any")


def test_a_rule_needs_both_the_namespace_and_the_dag() -> None:
    rules = [rule(["train_*"], team="a"), rule(["predict"], team="b")]
    assert allows(rules, {"team": "a"}, "train_model")
    assert allows(rules, {"team": "b"}, "predict")
    assert not allows(rules, {"team": "a"}, "predict")
    assert not allows(rules, {"team": "b"}, "train_model")
    assert not allows(rules, {}, "train_model")


def test_a_rule_without_dags_allows_all_of_them() -> None:
    assert allows([rule(team="a")], {"team": "a"}, "any")


@pytest.mark.parametrize(
    ("glob", "dag_id", "matches"),
    [
        pytest.param("train_*", "train_", True, id="a star is also nothing"),
        pytest.param("train_*", "TRAIN_x", False, id="case counts"),
        pytest.param("*", "a.b-c_d", True, id="a star is any text"),
        pytest.param("v?", "v1", True, id="a question mark is one character"),
        pytest.param("v?", "v10", False, id="and no more"),
        pytest.param("v[12]", "v2", True, id="one of these"),
        pytest.param("v[!12]", "v2", False, id="none of these"),
        pytest.param("a.b", "aXb", False, id="a dot is a dot"),
    ],
)
def test_globs(glob: str, dag_id: str, matches: bool) -> None:
    assert allows([rule([glob])], {}, dag_id) is matches


@pytest.mark.parametrize(
    ("operator", "values", "without", "with_a", "with_b"),
    [
        pytest.param("In", ["a"], False, True, False, id="In"),
        pytest.param("NotIn", ["a"], True, False, True, id="NotIn"),
        pytest.param("Exists", [], False, True, True, id="Exists"),
        pytest.param("DoesNotExist", [], True, False, False, id="DoesNotExist"),
    ],
)
def test_requirements_mean_what_they_mean_elsewhere_in_kubernetes(
    operator: str, values: list[str], without: bool, with_a: bool, with_b: bool
) -> None:
    selector = LabelSelector.model_validate(
        {"matchExpressions": [{"key": "team", "operator": operator, "values": values}]}
    )
    assert [selects(selector, found) for found in ({}, {"team": "a"}, {"team": "b"})] == [without, with_a, with_b]


@given(labels)
def test_an_empty_selector_selects_everything(found: dict[str, str]) -> None:
    assert selects(LabelSelector(), found)


@given(st.lists(rules, max_size=3), rules, labels, dag_ids)
def test_one_more_rule_takes_nothing_away(
    before: list[AccessRule], more: AccessRule, found: dict[str, str], dag: str
) -> None:
    assert not allows(before, found, dag) or allows([*before, more], found, dag)


@given(st.permutations(range(3)), st.lists(rules, min_size=3, max_size=3), labels, dag_ids)
def test_the_order_of_rules_does_not_matter(
    order: list[int], before: list[AccessRule], found: dict[str, str], dag: str
) -> None:
    assert allows(before, found, dag) is allows([before[index] for index in order], found, dag)


@given(st.lists(rules, max_size=3), names, labels, dag_ids)
def test_the_rule_that_a_refusal_names_would_have_let_it_through(
    before: list[AccessRule], namespace: str, found: dict[str, str], dag: str
) -> None:
    """Whoever pastes it into the AirflowInstance is done."""
    found = {**found, NAMESPACE_LABEL: namespace}
    said = refusal("prod", namespace, found, dag)
    pasted = AccessRule.model_validate(yaml.safe_load(said.partition("spec.access: ")[2]))
    assert allows([*before, pasted], found, dag)
    assert not allows([pasted], {NAMESPACE_LABEL: namespace + "x"}, dag)
    assert not allows([pasted], found, dag + "x")
    for part in ("prod", namespace, dag, *(f"{key}={value}" for key, value in found.items())):
        assert part in said


def test_a_namespace_with_many_labels_does_not_flood_the_message() -> None:
    said = refusal("prod", "a", {f"label-{number:02}": "x" for number in range(50)}, "dag")
    assert "and 40 more" in said
    assert len(said) < 800
