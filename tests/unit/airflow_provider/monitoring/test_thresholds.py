"""Params of a monitoring run override the Airflow Variable, and the Variable overrides the
defaults.
"""

from __future__ import annotations

from typing import Any

import pytest

from mljob_airflow.monitoring.thresholds import Thresholds, ThresholdsError, effective, params_schema


def test_params_override_the_variable_and_the_variable_the_defaults() -> None:
    made = effective(
        '{"stuck_minutes": 10, "failure_times": 4}', {"stuck_minutes": 5, "failure_runs": None, "odd": 1}, monitor="m"
    )
    assert (made.stuck_minutes, made.failure_times, made.failure_runs) == (5, 4, 10)


def test_a_monitor_may_have_its_own_default() -> None:
    assert effective(None, {}, monitor="m", quiet_hours=168).quiet_hours == 168
    assert effective('{"quiet_hours": 1}', {}, monitor="m", quiet_hours=168).quiet_hours == 1


@pytest.mark.parametrize("text", [None, "", " \n", "null", "{}"], ids=["missing", "empty", "blank", "null", "object"])
def test_an_empty_variable_sets_no_threshold(text: str | None) -> None:
    assert effective(text, {}, monitor="m") == Thresholds()


@pytest.mark.parametrize(
    ("variable", "given", "message"),
    [
        ('{"stuck_minutes": 0}', {}, r"stuck_minutes: .*, not 0; it is set in the Variable m"),
        ('{"stuckminutes": 5}', {}, r"stuckminutes: .*the Variable m"),
        (None, {"failure_times": 99}, r"failure_times: .*, not 99; it is set in a param of this run"),
        ("[1]", {}, "the Variable m is a list: it must be a JSON object, for example {"),
        ("{'stuck_minutes': 5}", {}, r"the Variable m is not JSON \(.*line 1 column 2.*\): it must be a JSON object"),
        ("[" * 100_000, {}, "the Variable m is not JSON"),
    ],
    ids=["bound", "unknown", "param", "no-object", "no-json", "deep"],
)
def test_an_invalid_threshold_names_the_field_its_value_and_its_place(
    variable: str | None, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ThresholdsError, match=message):
        effective(variable, given, monitor="m")


def test_an_invalid_default_of_a_dag_names_the_code_of_the_dag() -> None:
    with pytest.raises(ThresholdsError, match=r"quiet_hours: .*, not -1; it is set in the code of this DAG"):
        effective('{"stuck_minutes": 5}', {}, monitor="m", quiet_hours=-1)


def test_the_schema_of_a_threshold_has_a_description_and_allows_null() -> None:
    for name, schema in params_schema(*Thresholds.model_fields).items():
        assert schema["description"].endswith(
            f"Default: {Thresholds.model_json_schema()['properties'][name]['default']}."
        )
        assert "null" in schema["type"]


def test_the_schema_describes_the_own_default_of_a_monitor() -> None:
    schemas = params_schema("quiet_hours", "settle_minutes", quiet_hours=168)
    assert schemas["quiet_hours"]["description"].endswith("Default: 168.")
    assert schemas["settle_minutes"]["description"].endswith("Default: 45.")
