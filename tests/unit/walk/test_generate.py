"""What a walk over the API applies."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from jsonschema import Draft202012Validator

from mljob_contract.mljob import MLJobSpec
from tests.walk.generate import Generator
from tests.walk.mljobs import KEPT, ways
from tests.walk.way import spec_schema

MANY = 300


def test_the_same_seed_is_the_same_walk() -> None:
    first, again, other = (list(itertools.islice(ways(seed), 20)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_what_is_generated_fits_the_schema() -> None:
    validator = Draft202012Validator(dict(spec_schema("mljobs")))
    for way in itertools.islice(ways(1), MANY):
        assert [error.message for error in validator.iter_errors(way.first)] == []


def test_every_field_of_an_mljob_is_on_the_way_of_some() -> None:
    fields = {field.alias for field in MLJobSpec.model_fields.values()}
    assert {name for way in itertools.islice(ways(1), MANY) for name in way.first} == fields


def test_an_edit_leaves_alone_what_ends_an_mljob() -> None:
    for way in itertools.islice(ways(1), MANY):
        assert {name: way.first.get(name) for name in KEPT} == {name: way.second.get(name) for name in KEPT}


@pytest.mark.parametrize(
    "pattern", [r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$", r"^https?://[^\s/?#]+(/[^\s?#]*)?$", r"^[-._a-zA-Z0-9]+$"]
)
def test_most_texts_fit_their_pattern(pattern: str) -> None:
    generator = Generator(random.Random(1))
    schema = {"type": "string", "minLength": 1, "maxLength": 253, "pattern": pattern}
    texts = [generator.value(schema) for _ in range(MANY)]
    assert sum(re.fullmatch(pattern, text) is not None for text in texts) > MANY * 0.8
    assert {len(text) for text in texts} >= {1, 253}


def test_numbers_reach_their_bounds() -> None:
    generator = Generator(random.Random(1))
    numbers = [generator.value({"type": "integer", "minimum": 1, "maximum": 10}) for _ in range(MANY)]
    assert (min(numbers), max(numbers)) == (1, 10)
