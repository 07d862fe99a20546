from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mljob_contract.airflow_instance import AccessRule, LabelSelector
from mljob_operator.core.airflow_instance.access import (
    EVERYBODY,
    NAMESPACE_LABEL,
    Namespace,
    depends_on_labels,
    first_match,
    refusal,
    selects,
)

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


def allows(rules: list[AccessRule], found: dict[str, str], dag_id: str) -> bool:
    return first_match(rules, Namespace("team-a", found), dag_id) is not None


def test_without_rules_nobody_may_run_anything() -> None:
    assert not allows([], {}, "any")


def test_an_empty_rule_lets_every_namespace_run_every_dag() -> None:
    assert allows([AccessRule.model_validate({})], {}, "any")


def test_a_rule_needs_both_the_namespace_and_the_dag() -> None:
    rules = [rule(["train_*"], team="a"), rule(["predict"], team="b")]
    assert allows(rules, {"team": "a"}, "train_model")
    assert allows(rules, {"team": "b"}, "predict")
    assert not allows(rules, {"team": "a"}, "predict")
    assert not allows(rules, {"team": "b"}, "train_model")
    assert not allows(rules, {}, "train_model")


def test_a_rule_without_dags_allows_every_dag() -> None:
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
def test_globs_select_dags(glob: str, dag_id: str, matches: bool) -> None:
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
def test_match_expressions_work_as_in_kubernetes(
    operator: str, values: list[str], without: bool, with_a: bool, with_b: bool
) -> None:
    selector = LabelSelector.model_validate(
        {"matchExpressions": [{"key": "team", "operator": operator, "values": values}]}
    )
    namespaces = [Namespace("any", found) for found in ({}, {"team": "a"}, {"team": "b"})]
    assert [selects(selector, namespace) for namespace in namespaces] == [without, with_a, with_b]
    unknown = Namespace.known_by_name("any", pending=False)
    assert not selects(selector, unknown), "what can't be checked doesn't hold"


@given(labels)
def test_an_empty_selector_selects_every_namespace(found: dict[str, str]) -> None:
    assert selects(LabelSelector(), Namespace("any", found))


@given(st.lists(rules, max_size=3), rules, labels, dag_ids)
def test_an_additional_rule_takes_no_permission_away(
    before: list[AccessRule], more: AccessRule, found: dict[str, str], dag: str
) -> None:
    assert not allows(before, found, dag) or allows([*before, more], found, dag)


@given(st.permutations(range(3)), st.lists(rules, min_size=3, max_size=3), labels, dag_ids)
def test_the_order_of_rules_does_not_matter_for_permissions(
    order: list[int], before: list[AccessRule], found: dict[str, str], dag: str
) -> None:
    assert allows(before, found, dag) is allows([before[index] for index in order], found, dag)


@given(st.lists(rules, max_size=3), names, labels, dag_ids)
def test_the_rule_in_a_refusal_allows_the_mljob(
    before: list[AccessRule], namespace: str, found: dict[str, str], dag: str
) -> None:
    found = {**found, NAMESPACE_LABEL: namespace}
    said = refusal("AirflowInstance prod", "its spec.access", before, Namespace(namespace, found), dag)
    pasted = AccessRule.model_validate(yaml.safe_load(said.partition("spec.access: ")[2]))
    assert allows([*before, pasted], found, dag)
    assert not allows([pasted], {NAMESPACE_LABEL: namespace + "x"}, dag)
    assert not allows([pasted], found, dag + "x")
    for part in ("prod", namespace, dag, *(f"{key}={value}" for key, value in found.items())):
        assert part in said


def test_a_refusal_shows_a_limited_number_of_labels() -> None:
    many = Namespace("a", {f"label-{number:02}": "x" for number in range(50)})
    said = refusal("AirflowInstance prod", "its spec.access", [rule(["other"])], many, "dag")
    assert "and 40 more" in said
    assert len(said) < 800


@pytest.mark.parametrize(
    ("rules", "found", "place"),
    [
        pytest.param([rule(team="a"), rule()], {"team": "a"}, 0, id="the first of two that match"),
        pytest.param([rule(), rule(team="a")], {"team": "a"}, 0, id="in their order, not the narrowest"),
        pytest.param([rule(["other"]), rule(team="b"), rule(team="a")], {"team": "a"}, 2, id="after those that don't"),
        pytest.param([rule(team="b")], {"team": "a"}, None, id="none"),
    ],
)
def test_the_first_matching_rule_applies(rules: list[AccessRule], found: dict[str, str], place: int | None) -> None:
    assert first_match(rules, Namespace("team-a", found), "train") == place


BY_NAME = {"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: "team-a"}}}


@pytest.mark.parametrize(
    ("first", "lets_in"),
    [
        pytest.param({}, True, id="everybody"),
        pytest.param(BY_NAME, True, id="by its name"),
        pytest.param({"namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: "team-b"}}}, False, id="by another name"),
        pytest.param({"namespaceSelector": {"matchLabels": {"tier": "gold"}}}, False, id="by a label"),
        pytest.param(
            {"namespaceSelector": {"matchExpressions": [{"key": "banned", "operator": "DoesNotExist"}]}},
            False,
            id="by a label that it must not have",
        ),
        pytest.param(
            {"namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["bronze"]}]}},
            False,
            id="by a value that it must not have",
        ),
    ],
)
def test_a_rule_with_other_labels_does_not_match_a_namespace_known_by_name_only(
    first: dict[str, object], lets_in: bool
) -> None:
    unwatched = Namespace.known_by_name("team-a", pending=False)
    assert (first_match([AccessRule.model_validate(first)], unwatched, "train") is not None) is lets_in


def test_a_refusal_says_that_other_labels_are_not_known() -> None:
    unwatched = Namespace.known_by_name("team-a", pending=False)
    said = refusal("AirflowInstance prod", "its spec.access", [rule(team="a")], unwatched, "train")
    assert "Other labels are not known" in said
    assert "MLJOB_AIRFLOW_INSTANCES" in said


def test_a_refusal_says_that_there_are_no_rules_at_all() -> None:
    said = refusal("AirflowInstance prod", "its spec.access", [], Namespace("team-a"), "train")
    assert "without access rules lets nobody in" in said


@pytest.mark.parametrize(
    ("rules", "depends"),
    [
        pytest.param([], False, id="no rules"),
        pytest.param([EVERYBODY], False, id="everybody"),
        pytest.param([rule(["other"], team="a")], False, id="rules for other DAGs"),
        pytest.param([rule(team="a"), EVERYBODY], True, id="the first one asks for a label"),
        pytest.param([EVERYBODY, rule(team="a")], False, id="a later one does"),
    ],
)
def test_labels_are_needed_if_the_first_rule_for_the_dag_selects_by_them(
    rules: list[AccessRule], depends: bool
) -> None:
    assert depends_on_labels(rules, "train") is depends
