"""Reasons why a namespace may not run a DAG in an Airflow."""

from __future__ import annotations

import pytest

from mljob_contract.airflow_instance import AccessRule
from mljob_operator.core.airflow_instance.access import Namespace
from mljob_operator.core.airflow_instance.catalog import AirflowCatalog, find_refusal
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW


def instance(name: str, **spec: object) -> Instance:
    return Instance.from_object(
        {
            "metadata": {"name": name, "uid": name},
            "spec": {"url": "http://airflow", "credentials": {"tokenSecretRef": {"name": "t"}}, **spec},
        }
    )


CATALOG = AirflowCatalog(
    {"prod": instance("prod", access=[{"dags": ["train"]}]), "bad": instance("bad", url=7, access=[{}])},
    own_access=(AccessRule.model_validate({"dags": ["train"]}),),
    namespace=Namespace("team-a"),
)


@pytest.mark.parametrize(
    ("airflow", "dag_id", "reason", "said"),
    [
        (SETTINGS_AIRFLOW, "train", None, ""),
        ("prod", "train", None, ""),
        (SETTINGS_AIRFLOW, "other", "ValidationFailed", "No access rule of the Airflow of the operator's settings"),
        ("prod", "other", "ValidationFailed", "No access rule of AirflowInstance prod"),
        ("prod", "mljob_cancel", "ValidationFailed", "reserved for the platform"),
        ("bad", "train", "AirflowInstanceNotReady", "Correct the spec of the AirflowInstance"),
        ("gone", "train", "AirflowInstanceNotFound", "AirflowInstance 'gone' of the run does not exist"),
    ],
)
def test_refusal_names_the_cause(airflow: str, dag_id: str, reason: str | None, said: str) -> None:
    found = find_refusal(CATALOG, airflow, dag_id)
    assert (found.reason if found is not None else None) == reason
    assert found is None or said in found.message


def test_namespace_with_unknown_labels_is_refused_where_a_rule_needs_them() -> None:
    rule = AccessRule.model_validate({"namespaceSelector": {"matchLabels": {"team": "a"}}})
    catalog = AirflowCatalog(own_access=(rule,), namespace=Namespace.known_by_name("team-a", pending=True))
    assert find_refusal(catalog, SETTINGS_AIRFLOW, "train") is not None
