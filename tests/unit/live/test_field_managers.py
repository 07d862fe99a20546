"""The helper that returns the fields of each field manager."""

from __future__ import annotations

from typing import Any

from tests.live.field_managers import owned


def entry(manager: str, fields: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": fields}


def test_entries_of_a_manager_are_merged_at_every_depth() -> None:
    finalizers: dict[str, Any] = {"f:finalizers": {".": {}, 'v:"mljob.dev/run"': {}}}
    annotations: dict[str, Any] = {"f:annotations": {"f:checked": {}}}
    entries = [
        entry("tool", {"f:spec": {"f:dagId": {}}}),
        entry("operator", {"f:metadata": finalizers}),
        entry("operator", {"f:metadata": annotations, "f:status": {"f:phase": {}}}, "status"),
    ]
    assert owned({"metadata": {"managedFields": entries}}) == {
        "tool": {"f:spec": {"f:dagId": {}}},
        "operator": {"f:metadata": {**finalizers, **annotations}, "f:status": {"f:phase": {}}},
    }
