"""Reasons why an MLJob can't run its DAG in an Airflow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mljob_contract.airflow_instance import AccessRule, Credentials
from mljob_operator.core.airflow_instance.access import NAMESPACE_LABEL, Namespace
from mljob_operator.core.airflow_instance.admission import Limits, Reservation
from mljob_operator.core.airflow_instance.catalog import NO_AIRFLOW, AirflowCatalog, find_blocker
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW
from tests.fakes.instances import FakeInstances

SPEC = {"url": "http://airflow:8080", "credentials": {"tokenSecretRef": {"name": "prod"}}}
TEAM_A = Namespace("team-a", {NAMESPACE_LABEL: "team-a", "tier": "gold"})
GOLD = {"namespaceSelector": {"matchLabels": {"tier": "gold"}}}
SILVER = {"namespaceSelector": {"matchLabels": {"tier": "silver"}}}
LOGIN = Credentials.model_validate({"tokenSecretRef": {"name": "team-a"}})
WITH_LOGIN = {**GOLD, "credentials": {"tokenSecretRef": {"name": "team-a"}}}


def instance(**spec: Any) -> Instance:
    return FakeInstances().create("prod", {**SPEC, **spec})


def catalog(*, own_access: list[dict[str, Any]] | None = None, **changes: Any) -> AirflowCatalog:
    rules = [AccessRule.model_validate(rule) for rule in own_access] if own_access is not None else None
    return replace(AirflowCatalog(namespace=TEAM_A, own_access=rules), **changes)


def with_prod(**spec: Any) -> dict[str, Instance]:
    return {"prod": instance(**spec)}


DELETING = {"prod": replace(instance(access=[{}]), deleting=True)}


@pytest.mark.parametrize(
    ("there", "airflow", "expected"),
    [
        pytest.param(catalog(), SETTINGS_AIRFLOW, None, id="the settings' Airflow alone is everybody's"),
        pytest.param(catalog(own_access=[GOLD]), SETTINGS_AIRFLOW, None, id="a rule of the settings matches"),
        pytest.param(
            catalog(own_access=[SILVER]), SETTINGS_AIRFLOW, "ValidationFailed", id="no rule of the settings matches"
        ),
        pytest.param(
            catalog(instances=with_prod(access=[GOLD])),
            SETTINGS_AIRFLOW,
            "ValidationFailed",
            id="an AirflowInstance closes it",
        ),
        pytest.param(
            catalog(instances=DELETING),
            SETTINGS_AIRFLOW,
            "ValidationFailed",
            id="also one that is being deleted, until it is gone",
        ),
        pytest.param(
            catalog(instances=with_prod(), own_access=[{}]),
            SETTINGS_AIRFLOW,
            None,
            id="unless its rules say that it is everybody's",
        ),
        pytest.param(catalog(instances=with_prod()), "prod", "ValidationFailed", id="an instance without rules"),
        pytest.param(
            catalog(instances=with_prod(), own_access=[{}]),
            "prod",
            "ValidationFailed",
            id="rules of the settings are for the settings' Airflow",
        ),
        pytest.param(catalog(instances=with_prod(access=[{}])), "prod", None, id="an instance that is everybody's"),
        pytest.param(catalog(instances=with_prod(access=[SILVER, GOLD])), "prod", None, id="the second rule matches"),
        pytest.param(catalog(instances=with_prod(access=[SILVER])), "prod", "ValidationFailed", id="no rule matches"),
        pytest.param(catalog(), NO_AIRFLOW, "NoDefaultAirflow", id="no default"),
        pytest.param(catalog(), "prod", "AirflowInstanceNotFound", id="no such instance"),
        pytest.param(catalog(instances=DELETING), "prod", "AirflowInstanceNotReady", id="an instance that goes"),
        pytest.param(
            catalog(instances=with_prod(access=[{}]), not_ready={"prod": "No answer."}),
            "prod",
            "AirflowInstanceNotReady",
            id="an instance that is away",
        ),
        pytest.param(
            catalog(instances=with_prod(access=[SILVER]), not_ready={"prod": "No answer."}),
            "prod",
            "ValidationFailed",
            id="it being away is no news to those whom it lets not in",
        ),
        pytest.param(
            catalog(instances=with_prod(access=[GOLD]), namespace=Namespace.known_by_name("team-a", pending=True)),
            "prod",
            "Submitting",
            id="labels that are not known yet",
        ),
        pytest.param(
            catalog(namespace=Namespace.known_by_name("team-a", pending=True)),
            SETTINGS_AIRFLOW,
            None,
            id="which not all rules ask for",
        ),
        pytest.param(
            catalog(instances=with_prod(access=[GOLD]), namespace=Namespace.known_by_name("team-a", pending=False)),
            "prod",
            "ValidationFailed",
            id="labels that are never known",
        ),
        pytest.param(
            catalog(instances=with_prod(access=[WITH_LOGIN])), "prod", "Submitting", id="a Secret that is not read yet"
        ),
        pytest.param(
            catalog(instances=with_prod(access=[WITH_LOGIN]), logins={("prod", LOGIN): "Secret team-a is wrong."}),
            "prod",
            "AirflowUnauthorized",
            id="a Secret that is wrong",
        ),
        pytest.param(
            catalog(instances=with_prod(access=[WITH_LOGIN]), logins={("prod", LOGIN): None}),
            "prod",
            None,
            id="a Secret that is right",
        ),
        pytest.param(
            catalog(instances=with_prod(access=[GOLD, WITH_LOGIN])), "prod", None, id="a Secret of a later rule"
        ),
        pytest.param(
            catalog(instances=with_prod(access=[{}], maxActiveRuns=2), full=["prod"]),
            "prod",
            "ConcurrencyLimit",
            id="no place",
        ),
    ],
)
def test_the_first_blocker_counts(there: AirflowCatalog, airflow: str, expected: str | None) -> None:
    found = find_blocker(there, airflow, "train")
    assert (found.reason if found else None) == expected
    assert found is None or found.stalls is (expected == "ValidationFailed")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param(catalog(instances=DELETING), False, id="an instance that goes"),
        pytest.param(catalog(instances=with_prod(access=[{}]), not_ready={"prod": "No answer."}), True, id="no answer"),
        pytest.param(
            catalog(instances={"prod": replace(instance(access=[{}]), problem="spec.url is missing")}),
            True,
            id="an invalid instance",
        ),
        pytest.param(catalog(instances=with_prod(access=[{}]), full=["prod"]), True, id="no place"),
        pytest.param(
            catalog(instances=with_prod(access=[GOLD]), namespace=Namespace.known_by_name("team-a", pending=True)),
            True,
            id="labels that are not known yet",
        ),
        pytest.param(catalog(instances=with_prod(access=[WITH_LOGIN])), True, id="a Secret that is not read yet"),
        pytest.param(catalog(instances=with_prod(access=[SILVER])), False, id="no rule matches"),
        pytest.param(catalog(), False, id="no such instance"),
    ],
)
def test_blocker_that_ends_without_a_change_of_the_mljob_is_temporary(there: AirflowCatalog, expected: bool) -> None:
    found = find_blocker(there, "prod", "train")
    assert found is not None
    assert found.is_temporary is expected


RESERVED = ["mljob_cancel", "mljob_monitor", "mljob_monitor_bottlenecks"]


@pytest.mark.parametrize("dag_id", RESERVED)
@pytest.mark.parametrize("airflow", [SETTINGS_AIRFLOW, "prod", "missing", NO_AIRFLOW])
def test_the_platforms_dags_can_be_run_in_no_airflow(dag_id: str, airflow: str) -> None:
    found = find_blocker(catalog(instances=with_prod(access=[{}]), own_access=[{}]), airflow, dag_id)
    assert found is not None
    assert (found.reason, found.stalls) == ("ValidationFailed", True)
    assert f"DAG {dag_id!r} is reserved" in found.message
    assert "spec.cancel" in found.message


@pytest.mark.parametrize("rule", [{"dags": ["mljob_*"]}, {"dags": ["*"]}, {"dags": ["mljob_monitor?"]}])
@pytest.mark.parametrize("dag_id", RESERVED)
def test_pattern_lets_nobody_run_the_platforms_dags(dag_id: str, rule: dict[str, Any]) -> None:
    found = find_blocker(catalog(instances=with_prod(access=[rule])), "prod", dag_id)
    assert found is not None
    assert found.stalls


@pytest.mark.parametrize(("dag_id", "refused"), [(dag_id, dag_id == "mljob_cancel") for dag_id in RESERVED])
def test_rule_that_has_the_id_of_a_monitoring_dag_lets_its_namespace_run_it(dag_id: str, refused: bool) -> None:
    there = catalog(instances=with_prod(access=[{"dags": RESERVED}]))
    assert (find_blocker(there, "prod", dag_id) is not None) is refused
    assert there.may_run("prod", dag_id) is not refused
    other = catalog(
        instances=with_prod(access=[{"namespaceSelector": {"matchLabels": {"team": "gold"}}, "dags": RESERVED}])
    )
    found = find_blocker(other, "prod", dag_id)
    assert found is not None
    assert found.reason == "ValidationFailed"


@pytest.mark.parametrize(
    ("dag_id", "refused"), [("ops_backup", True), ("ops", False), ("my_ops_backup", False), ("mljob_train", False)]
)
def test_further_dags_are_reserved_by_globs(dag_id: str, refused: bool) -> None:
    found = find_blocker(catalog(reserved=[*RESERVED, "ops_*"]), SETTINGS_AIRFLOW, dag_id)
    assert (found is not None) is refused


@pytest.mark.parametrize(
    ("there", "airflow", "where"),
    [
        pytest.param(catalog(instances=with_prod()), "prod", "its spec.access: ", id="an instance"),
        pytest.param(
            catalog(instances=with_prod()),
            SETTINGS_AIRFLOW,
            "airflow.access of the operator's chart (MLJOB_AIRFLOW_ACCESS): ",
            id="the settings",
        ),
    ],
)
def test_a_refusal_names_the_field_that_lacks_the_rule(there: AirflowCatalog, airflow: str, where: str) -> None:
    found = find_blocker(there, airflow, "train")
    assert found is not None
    assert f"The rule that is missing in {where}{{namespaceSelector: " in found.message


@pytest.mark.parametrize(
    ("there", "airflow", "named"),
    [
        pytest.param(
            catalog(instances=with_prod(access=[{}], maxActiveRuns=2)),
            "prod",
            "AirflowInstance prod has as many active runs as spec.maxActiveRuns (2) allows",
            id="the instance's",
        ),
        pytest.param(
            catalog(instances=with_prod(access=[SILVER, {**GOLD, "maxActiveRuns": 1}], maxActiveRuns=2)),
            "prod",
            "spec.maxActiveRuns (2) or spec.access[1].maxActiveRuns (1) allows",
            id="and the rule's",
        ),
        pytest.param(
            catalog(own_access=[{**GOLD, "maxActiveRuns": 3}]),
            SETTINGS_AIRFLOW,
            "The Airflow of the operator's settings has as many active runs as airflow.access[0].maxActiveRuns (3) allows",
            id="of the settings",
        ),
    ],
)
def test_the_limit_that_is_reached_is_named(there: AirflowCatalog, airflow: str, named: str) -> None:
    found = find_blocker(replace(there, full=[airflow]), airflow, "train")
    assert found is not None
    assert named in found.message


def test_the_rule_has_the_credentials_priority_and_limit_of_a_run() -> None:
    there = catalog(instances=with_prod(access=[SILVER, {**WITH_LOGIN, "priority": 7, "maxActiveRuns": 3}, GOLD]))
    assert there.credentials("prod", "train") == LOGIN
    assert there.reservation("prod", "train", active=False) == Reservation("prod", 1, 7, active=False)
    assert there.limits("prod") == Limits(None, (None, 3, None))


def test_a_run_without_a_matching_rule_uses_the_airflows_credentials_and_counts() -> None:
    there = catalog(instances=with_prod(access=[{**SILVER, "credentials": WITH_LOGIN["credentials"]}], maxActiveRuns=2))
    assert there.credentials("prod", "train") is None
    assert there.reservation("prod", "train", active=True) == Reservation("prod", None, 0, active=True)
