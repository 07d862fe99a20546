from __future__ import annotations

from typing import Any
from unittest import mock

import jsonschema
import pytest

from mljob_operator.core.conf.conf import problems
from mljob_operator.core.conf.param_schemas import MAX_WORK, OF_A_SCHEMA

LONG = 200_000


def check(value: Any, schema: Any) -> list[str]:
    return problems({"x": value}, {"x": {"value": None, "schema": schema}})


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"anyOf": [schema]}
    return schema


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        pytest.param("a" * 60 + "!", {"type": "string", "pattern": "^(a+)+$"}, id="a pattern that backtracks"),
        pytest.param({"a" * 60 + "!": 1}, {"patternProperties": {"^(a+)+$": {}}}, id="a pattern of names"),
        pytest.param("x", {"items": {"anyOf": [{"pattern": "^(a+)+$"}]}}, id="a pattern within"),
        pytest.param([{"a": i} for i in range(20_000)], {"uniqueItems": True}, id="each item with each other"),
        pytest.param("(" * LONG, {"format": "regex"}, id="a value that is a pattern"),
        pytest.param([1] * LONG, {"items": {"enum": list(range(2, 200))}}, id="many items, many words"),
        pytest.param("x", {"required": [{"a": i} for i in range(20_000)]}, id="a schema that takes long itself"),
        pytest.param(1, {"unevaluatedProperties": False, "allOf": [{}]}, id="all over again at each level"),
        pytest.param(1, {"$ref": "#"}, id="a circle"),
        pytest.param(1, {"$ref": "#/definitions/none"}, id="a reference to nothing"),
        pytest.param(1, {"$schema": "http://example.com/other"}, id="another dialect"),
        pytest.param(1, "no schema", id="no schema"),
        pytest.param(1, ["no", "schema"], id="a list"),
    ],
)
def test_an_expensive_schema_is_left_to_airflow(value: Any, schema: Any) -> None:
    with mock.patch("jsonschema.validate") as validate:
        assert check(value, schema) == []
    validate.assert_not_called()


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "file:///etc/passwd", "ftp://example.com"])
def test_no_reference_is_followed(url: str) -> None:
    with mock.patch("urllib.request.urlopen") as asked:
        assert check(1, {"properties": {"a": {"$ref": url}}}) == []
        assert check({"a": 1}, {"properties": {"a": {"$ref": url}}}) == []
    asked.assert_not_called()


@pytest.mark.parametrize("param", [None, 5, "text", [], {}, {"schema": None}, {"value": 1}])
def test_a_malformed_param_is_ignored(param: Any) -> None:
    assert problems({"x": 1}, {"x": param}) == []


def test_params_are_checked_up_to_the_work_limit() -> None:
    params = {f"p{i}": {"value": 1, "schema": {"type": "integer"}} for i in range(20_000)}
    with mock.patch("jsonschema.validate", wraps=jsonschema.validate) as validate:
        assert problems({}, params) == []
    assert 0 < validate.call_count <= MAX_WORK / OF_A_SCHEMA


def test_a_cheap_schema_is_checked() -> None:
    assert check("a", {"type": "integer"}) == ["spec.conf.x: 'a' is not of type 'integer'"]
    assert check(1, nested(20)) != []
    assert check(list(range(1000)), {"type": "array", "items": {"type": "integer"}}) == []
    assert check([1, "a"], {"type": "array", "items": {"type": "integer"}}) != []


def test_a_quoted_problem_is_cut() -> None:
    (problem,) = check("a" * LONG, {"type": "integer"})
    assert len(problem) < 3000
    assert len(problems({f"p{i}": "a" for i in range(50)}, {f"p{i}": {"schema": False} for i in range(50)})) == 0
    many = {f"p{i}": {"schema": {"type": "integer"}} for i in range(50)}
    assert len(problems(dict.fromkeys(many, "a"), many)) == 20
