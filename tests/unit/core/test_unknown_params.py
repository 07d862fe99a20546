from __future__ import annotations

from difflib import get_close_matches
from typing import Any
from unittest import mock

import pytest

from mljob_contract.param_schema import ADDITIONAL_PARAMS
from mljob_operator.core.conf.conf import MAX_UNKNOWN, Source, origins, problems, refuses_unknown_keys, unknown_keys
from mljob_operator.core.text import spelling

INTEGER = {"value": 3, "schema": {"type": "integer"}}
PARAMS = {"epochs": INTEGER, "learning_rate": INTEGER}
DEFAULTS = Source("ConfigMap defaults", {"epochs": "5", "region": "eu"}, secret=False, field="spec.confFrom[0]")
WAREHOUSE = Source("Secret warehouse", {"epochs": "6"}, secret=True, field="spec.confFrom[1]")
OBJECT = Source("ConfigMap more", {"more.json": '{"epochs": 5}'}, secret=False, field="spec.confFrom[2]")
OUTPUTS = Source("the outputs of MLJob data", {"epoch": 5}, secret=False, typed=True, field="spec.confFrom[3]")


@pytest.mark.parametrize(
    ("conf", "params", "expected"),
    [
        pytest.param({"epochs": 1}, PARAMS, [], id="a param"),
        pytest.param({}, PARAMS, [], id="an empty conf"),
        pytest.param({"epoch": 1}, {}, [], id="a DAG without params"),
        pytest.param(
            {"epoch": 1}, PARAMS, ["spec.conf.epoch: the DAG has no such param (did you mean epochs?)"], id="misspelt"
        ),
        pytest.param({"note": 1}, PARAMS, ["spec.conf.note: the DAG has no such param"], id="nothing is similar"),
        pytest.param(
            {f"k{number}": 1 for number in range(8)},
            PARAMS,
            [*(f"spec.conf.k{number}: the DAG has no such param" for number in range(5)), "and 3 more"],
            id="many",
        ),
        pytest.param({"x" * 300: 1}, PARAMS, [f"spec.conf.{'x' * 97}...: the DAG has no such param"], id="a long key"),
    ],
)
def test_unknown_keys(conf: dict[str, Any], params: dict[str, Any], expected: list[str]) -> None:
    assert unknown_keys(conf, params) == expected


def test_few_names_of_thousands_of_params_are_compared() -> None:
    conf = {"a" * 50 + str(i): 1 for i in range(9000)}
    params = {"ab" * 25 + str(i): INTEGER for i in range(9000)}
    with mock.patch.object(spelling, "get_close_matches", wraps=get_close_matches) as compare:
        unknown_keys(conf, params)
    assert sum(len(call.args[1]) for call in compare.call_args_list) == MAX_UNKNOWN * spelling.MAX_COMPARED


def test_long_names_are_not_compared() -> None:
    with mock.patch.object(spelling, "get_close_matches", wraps=get_close_matches) as compare:
        unknown_keys({"a" * 61: 1}, {"a" * 60: INTEGER})
        unknown_keys({"a" * 60: 1}, {"a" * 61: INTEGER})
    assert [list(call.args[1]) for call in compare.call_args_list] == [[]]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        pytest.param({"epochs": {"schema": {"type": "integer", ADDITIONAL_PARAMS: False}}}, True, id="closed"),
        pytest.param({"epochs": {"schema": {"type": "integer", ADDITIONAL_PARAMS: True}}}, False, id="open"),
        pytest.param(PARAMS, False, id="it does not say"),
        pytest.param({"epochs": 3, "rate": {"schema": "x"}}, False, id="malformed params"),
        pytest.param({}, False, id="no params"),
    ],
)
def test_which_dags_refuse_unknown_keys(params: dict[str, Any], *, expected: bool) -> None:
    assert refuses_unknown_keys(params) is expected


@pytest.mark.parametrize(
    ("own", "sources", "expected"),
    [
        pytest.param({}, [DEFAULTS], {"epochs": DEFAULTS, "region": DEFAULTS}, id="a ConfigMap"),
        pytest.param({}, [DEFAULTS, WAREHOUSE], {"epochs": WAREHOUSE, "region": DEFAULTS}, id="the last source"),
        pytest.param({"epochs": "5"}, [DEFAULTS], {"region": DEFAULTS}, id="the spec"),
        pytest.param({}, [DEFAULTS, OBJECT], {"epochs": OBJECT, "region": DEFAULTS}, id="JSON"),
        pytest.param({}, [OUTPUTS], {"epoch": OUTPUTS}, id="outputs"),
    ],
)
def test_origins_of_a_conf(own: dict[str, Any], sources: list[Source], expected: dict[str, Source]) -> None:
    assert origins(own, sources) == expected


def test_unknown_key_names_the_source_that_has_it() -> None:
    assert unknown_keys({"epoch": 5, "region": "eu", "note": 1}, PARAMS, {"epoch": OUTPUTS, "region": DEFAULTS}) == [
        "spec.confFrom[3] (the outputs of MLJob data).epoch: the DAG has no such param (did you mean epochs?)",
        "spec.confFrom[0] (ConfigMap defaults).region: the DAG has no such param",
        "spec.conf.note: the DAG has no such param",
    ]


def test_value_of_json_has_no_hint_about_strings() -> None:
    params = {"epochs": {"value": 3, "schema": {"type": "string"}}}
    assert problems({"epochs": 5}, params, {"epochs": OBJECT}) == [
        "spec.confFrom[2] (ConfigMap more).epochs: 5 is not of type 'string'"
    ]


FIELD = "spec.confFrom[0] (ConfigMap defaults)"
HINT = 'the values of ConfigMap defaults are strings; a key with the suffix .json holds JSON, such as more.json: {"x": ...}'


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        pytest.param("5", {"type": "integer"}, [f"{FIELD}.x: '5' is not of type 'integer' ({HINT})"], id="a number"),
        pytest.param(
            "[1]",
            {"type": ["array", "null"]},
            [f"{FIELD}.x: '[1]' is not of type 'array', 'null' ({HINT})"],
            id="a list",
        ),
        pytest.param(
            "2h",
            {"type": "integer"},
            [
                f"{FIELD}.x: '2h' is not of type 'integer' "
                f"(write the duration as a number; in seconds, two hours are 7200; {HINT})"
            ],
            id="a duration",
        ),
        pytest.param("abc", {"type": "string", "maxLength": 2}, [f"{FIELD}.x: 'abc' is too long"], id="a string"),
        pytest.param("abc", {"type": "string"}, [], id="a string that fits"),
    ],
)
def test_hint_about_strings_from_a_config_map(value: str, schema: dict[str, Any], expected: list[str]) -> None:
    params = {"x": {"value": None, "schema": schema}}
    defaults = Source("ConfigMap defaults", {"x": value}, secret=False, field="spec.confFrom[0]")
    assert problems({"x": value}, params, {"x": defaults}) == expected


def test_value_of_the_spec_has_no_hint_about_config_maps() -> None:
    assert problems({"x": "5"}, {"x": INTEGER}, {"y": DEFAULTS}) == ["spec.conf.x: '5' is not of type 'integer'"]
