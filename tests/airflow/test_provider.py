from __future__ import annotations

import pytest
from airflow.configuration import conf
from airflow.providers_manager import ProvidersManager

from mljob_airflow import settings


def test_airflow_lists_the_provider() -> None:
    assert "airflow-provider-mljob" in ProvidersManager().providers


def test_the_documented_defaults_are_those_of_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    ProvidersManager().initialize_providers_configuration()
    assert conf.get("mljob", "topic") == settings.TOPIC == settings.topic()
    assert conf.get("mljob", "airflow_conn_id") == settings.airflow_conn_id()
    assert settings.instrument_all_dags() is False
    monkeypatch.setenv("AIRFLOW__MLJOB__TOPIC", "elsewhere")
    assert settings.topic() == "elsewhere"
