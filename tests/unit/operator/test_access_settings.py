"""The access rules and the reserved DAGs in the operator's settings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from mljob_operator.main import main
from mljob_operator.settings import Settings

RULES = [
    {"namespaceSelector": {"matchLabels": {"team": "churn"}}, "dags": ["train_*"], "maxActiveRuns": 3, "priority": 2},
    {"credentials": {"tokenSecretRef": {"name": "others"}}},
]


def settings(**variables: str) -> Settings:
    required = {"airflow_url": "http://airflow", "airflow_token": "token"}
    return Settings(**{**required, **variables})  # type: ignore[arg-type]


def test_access_rules_are_parsed_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLJOB_AIRFLOW_ACCESS", json.dumps(RULES))
    access = settings().airflow_access
    assert access is not None
    assert access[0].namespace_selector.match_labels == {"team": "churn"}
    assert (access[0].dags, access[0].max_active_runs, access[0].priority) == (["train_*"], 3, 2)
    assert access[1].credentials is not None
    assert access[1].credentials.source == "Secret others"


def test_there_are_no_access_rules_by_default() -> None:
    assert settings().airflow_access is None
    assert settings().reserved_dags == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param("team-a", "Invalid JSON", id="no JSON"),
        pytest.param("{}", "valid array", id="no list"),
        pytest.param("[]", "at least 1 item", id="no rule"),
        pytest.param([{}] * 65, "at most 64 items", id="too many rules"),
        pytest.param([{"namespaceSelctor": {}}], "0.namespaceSelctor: Extra inputs", id="a misspelt selector"),
        pytest.param(
            [{"namespaceSelector": {"matchLabel": {"a": "b"}}}],
            "0.namespaceSelector.matchLabel: Extra inputs",
            id="a misspelt field inside",
        ),
        pytest.param([{"dags": []}], "0.dags: ", id="no DAG"),
        pytest.param([{"dags": ["a b"]}], "0.dags.0: ", id="no glob"),
        pytest.param(
            [{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn"}]}}],
            "values are required with In and NotIn",
            id="a requirement that would always hold",
        ),
        pytest.param([{"credentials": {}}], "exactly one of passwordSecretRef", id="no credentials"),
    ],
)
def test_value_that_is_not_a_list_of_rules_is_refused(given: Any, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(airflow_access=given if isinstance(given, str) else json.dumps(given))
    assert said in str(refused.value)


def test_error_names_the_setting_and_the_place_in_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLJOB_AIRFLOW_URL", "http://airflow")
    monkeypatch.setenv("MLJOB_AIRFLOW_TOKEN", "token")
    monkeypatch.setenv("MLJOB_AIRFLOW_ACCESS", '[{"dag": ["train"]}]')
    assert main() == 2
    assert "MLJOB_AIRFLOW_ACCESS: 0.dag: Extra inputs are not permitted" in capsys.readouterr().err


def test_reserved_dags_are_globs() -> None:
    assert settings(reserved_dags="ops_*, secret_dag").reserved_dags == ("ops_*", "secret_dag")
    with pytest.raises(ValidationError):
        settings(reserved_dags="a b")
