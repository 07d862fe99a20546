"""JSON values as the API server stores them."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mljob_operator.core.run.outputs import MAX_OUTPUTS_BYTES, bounded
from mljob_operator.core.text.storable import cut, storable, stored_size

any_text = st.text(st.characters(exclude_categories=()))
"""Any text, including halves of surrogate pairs."""
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("plain", 7),
        ('"\\', 6),
        ("\n\t\r", 8),
        ("\b\f\x00", 20),
        ("<&>", 20),
        ("\u2028", 8),
        ("ä", 4),
        ("\U0001f600", 6),
        (1e20, 22),
    ],
)
def test_a_value_is_as_large_as_go_writes_it(value: object, size: int) -> None:
    assert stored_size(value) == size


@given(any_text, st.integers(10, 60), st.integers(10, 60))
@example("0\x1f\U00010000", 10, 10)
def test_a_text_is_cut_to_its_bounds_and_says_so(text: str, length: int, size: int) -> None:
    shown = cut(text, length, size)
    assert len(shown) <= length
    assert stored_size(shown) - 2 <= size
    assert shown == text.strip().encode("utf-8", "replace").decode() or shown.endswith("...")


@given(any_json)
def test_any_airflow_value_becomes_stable_json(value: object) -> None:
    kept = storable(value)
    assert json.loads(json.dumps(kept, allow_nan=False, ensure_ascii=False).encode()) == kept
    assert storable(kept) == kept


def test_nulls_in_objects_are_removed_because_a_merge_patch_can_not_set_them() -> None:
    assert storable({"a": None, "b": [None, {"c": None}]}) == {"b": [None, {}]}


def test_numbers_that_go_does_not_have_become_text() -> None:
    assert storable([2**63, -(2**63), float("nan"), 0.5]) == [str(2**63), -(2**63), "nan", 0.5]


@given(st.dictionaries(any_text, any_json, max_size=6), st.integers(0, 20_000))
def test_outputs_stay_small_and_say_what_is_left_out(outputs: dict[str, object], large: int) -> None:
    outputs = {**outputs, "weights": "<" * large}
    kept = bounded(outputs)
    assert stored_size(kept.values) <= MAX_OUTPUTS_BYTES
    assert ("weights" in kept.values) != ("weights" in kept.omitted)


def test_a_large_output_does_not_displace_a_small_one() -> None:
    kept = bounded({"weights": "w" * 20_000, "score": 0.9, "nested": json.loads("[" * 40 + "]" * 40)})
    assert (dict(kept.values), kept.omitted) == ({"score": 0.9}, ("nested", "weights"))
