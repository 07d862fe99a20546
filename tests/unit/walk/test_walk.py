"""The helpers of walk tests. A walk test applies generated objects, and then edits them."""

from __future__ import annotations

import itertools
import random
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mljob_contract.airflow_instance import AirflowInstanceSpec
from mljob_contract.mljob import MLJobSpec
from tests.walk import instances, mljobs
from tests.walk.generate import CLASSES, Generator
from tests.walk.walk import Comparison, Edit, differences, spec_schema, surprises

MANY = 300


def edits(plural: str, seed: int = 1, count: int = MANY) -> list[Edit]:
    found = mljobs.edits(seed) if plural == "mljobs" else instances.edits(seed, ["http://127.0.0.1:1"], "certificate")
    return list(itertools.islice(found, count))


@pytest.mark.parametrize("plural", ["mljobs", "airflowinstances"])
def test_same_seed_generates_the_same_walk(plural: str) -> None:
    assert edits(plural, 1, 20) == edits(plural, 1, 20)
    assert edits(plural, 1, 20) != edits(plural, 2, 20)


@pytest.mark.parametrize(("plural", "model"), [("mljobs", MLJobSpec), ("airflowinstances", AirflowInstanceSpec)])
def test_every_field_of_a_spec_is_generated(plural: str, model: Any) -> None:
    fields = {field.alias or name for name, field in model.model_fields.items()}
    assert {name for edit in edits(plural) for name in edit.spec} == fields - (
        mljobs.LEFT_OUT if plural == "mljobs" else set()
    )


def test_generated_specs_match_the_schema() -> None:
    validator = Draft202012Validator(dict(spec_schema("mljobs")))
    for edit in edits("mljobs"):
        assert [error.message for error in validator.iter_errors(edit.spec)] == []


def test_edit_keeps_fields_that_end_an_mljob() -> None:
    for edit in edits("mljobs"):
        assert {name: edit.spec.get(name) for name in mljobs.KEPT} == {
            name: edit.edited.get(name) for name in mljobs.KEPT
        }


def test_most_edits_change_something() -> None:
    assert sum(edit.spec != edit.edited for edit in edits("mljobs")) > MANY * 0.8


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$",
        r"^https?://[^\x00-\x20/?#]+(/[^\x00-\x20?#]*)?$",
        r"^[-._a-zA-Z0-9]+$",
        r"^[\p{L}\p{N}_.\-*?\[\]!]+$",
    ],
)
def test_most_strings_match_their_pattern(pattern: str) -> None:
    generator = Generator(random.Random(1))
    schema = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": pattern}
    texts = [generator.value(schema) for _ in range(MANY)]
    for name, some in CLASSES.items():
        pattern = pattern.replace(name, some)
    assert sum(re.fullmatch(pattern, text) is not None for text in texts) > MANY * 0.8
    assert {len(text) for text in texts} >= {1, 253}


def test_numbers_reach_their_bounds() -> None:
    generator = Generator(random.Random(1))
    numbers = [generator.value({"type": "integer", "minimum": 1, "maximum": 10}) for _ in range(MANY)]
    assert (min(numbers), max(numbers)) == (1, 10)


def test_exactly_one_of_the_alternative_fields_is_generated() -> None:
    generator = Generator(random.Random(1))
    reference = spec_schema("mljobs")["properties"]["confFrom"]["items"]
    found = [set(generator.value(reference)) for _ in range(MANY)]
    assert all(len(names) == 1 for names in found)
    assert {"configMapRef", "secretRef", "outputsRef"} == set().union(*found)


@pytest.mark.parametrize(
    "record",
    [
        {"level": "error", "message": "that went wrong"},
        {"level": "debug", "message": "ns/job: unexpected error"},
        {"level": "info", "message": "that went wrong", "exception": "Traceback"},
    ],
)
def test_unexpected_error_is_a_surprise_at_any_log_level(record: dict[str, str]) -> None:
    usual = {"level": "warning", "message": "Airflow is away"}
    assert surprises([], [usual, record]) == [record]


def test_output_outside_the_log_is_a_surprise() -> None:
    assert surprises(['{"level": "info"}', "RuntimeWarning: never awaited", ""], []) == [
        "RuntimeWarning: never awaited"
    ]


def test_differences_of_two_objects_are_listed_by_field() -> None:
    body = {"status": "Ready"}
    other = {"status": "Away", "why": "nobody answers"}
    compared = [
        Comparison("same", body, body),
        Comparison("other", body, other),
        Comparison("gone", None, body),
        Comparison("both", None, None),
    ]
    assert differences(compared, lambda body: body) == {
        "other": {"status": ("Ready", "Away"), "why": (None, "nobody answers")},
        "gone": {"deleted": (True, None), "status": (None, "Ready")},
    }
