"""The pages about the API have tables of fields. These tables are generated from the CRDs."""

from __future__ import annotations

from typing import Any

import pytest

from crds import reference

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["dagId"],
    "properties": {
        "dagId": {"type": "string", "minLength": 1, "maxLength": 250, "pattern": "^[a-z]+$", "description": "The DAG."},
        "outputs": {
            "type": "array",
            "maxItems": 32,
            "items": {"type": "object", "properties": {"key": {"type": "string", "default": "return_value"}}},
        },
    },
}
DEFINITION = {
    "spec": {"versions": [{"schema": {"openAPIV3Schema": {"properties": {"spec": SPEC, "status": SPEC}}}}]},
}


def table(mark: str, page: str = "") -> list[str]:
    text = reference.filled(f"{page}<!-- fields: {mark} -->\nold\n<!-- end of fields -->\n", DEFINITION)
    return [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| Field")]


def test_a_row_has_type_bounds_default_and_meaning() -> None:
    assert table("spec") == [
        "| `dagId` | string, 1 to 250 characters, `^[a-z]+$` | required | The DAG. |",
        "| `outputs` | list of object, at most 32 entries |  |  |",
        "| `outputs[].key` | string | `return_value` |  |",
    ]


def test_a_table_of_a_status_has_no_defaults() -> None:
    assert table("status")[-1] == "| `outputs[].key` | string |  |"


def test_a_table_may_begin_below_a_field_and_end_at_a_level() -> None:
    assert [row.split(" | ")[0] for row in table("spec.outputs[]")] == ["| `outputs[].key`"]
    assert [row.split(" | ")[0] for row in table("spec, level 1")] == ["| `dagId`", "| `outputs`"]


def test_a_field_with_a_heading_links_to_it() -> None:
    assert table("spec", "### `dagId`\n")[0].startswith("| [`dagId`](#dagid) |")


def test_generating_the_tables_again_changes_nothing() -> None:
    page = reference.filled("<!-- fields: spec -->\n<!-- end of fields -->\ntext\n", DEFINITION)
    assert reference.filled(page, DEFINITION) == page
    assert page.endswith("<!-- end of fields -->\ntext\n")


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        pytest.param({"type": "string", "enum": ["A", "B"]}, "`A`, `B`", id="choices"),
        pytest.param({"type": "string", "format": "date-time"}, "RFC 3339 time", id="time"),
        pytest.param({"type": "integer", "minimum": 0}, "integer, 0 or more", id="least"),
        pytest.param({"type": "object", "additionalProperties": {"type": "number"}}, "map of number", id="map"),
        pytest.param(
            {"type": "string", "x-kubernetes-validations": [{"rule": "self.matches(r'^x$')"}]},
            "string, `^x$`",
            id="pattern with a sentence of its own",
        ),
        pytest.param(
            {"type": "string", "x-kubernetes-validations": [{"rule": "self != '.'"}]}, "string", id="another rule"
        ),
    ],
)
def test_types_are_described_in_words(field: dict[str, Any], shown: str) -> None:
    assert reference.type_of(field) == shown
