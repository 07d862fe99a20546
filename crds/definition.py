"""Makes a CustomResourceDefinition from the parts that differ between the CRDs of this project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mljob_contract.resource import GROUP, VERSION

Columns = list[tuple[str, str, str, int]]
"""The columns of ``kubectl get``: name, path, type and priority. Only ``-o wide`` shows columns
with priority 1."""
Rules = list[dict[str, str]]
"""Validation rules in CEL: the value of ``x-kubernetes-validations`` in a schema."""


@dataclass(frozen=True)
class Resource:
    """The parts of a CRD that differ between the CRDs of this project. ``spec`` and ``status`` are
    the structural schemas of a resource's fields ``spec`` and ``status``.
    """

    kind: str
    plural: str
    short_name: str
    scope: str
    description: str
    columns: Columns
    spec: dict[str, Any]
    status: dict[str, Any]
    rules: Rules
    selectable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the CRD, which is also the name of the CRD's file without the extension."""
        return f"{self.plural}.{GROUP}"

    def definition(self) -> dict[str, Any]:
        """Return the manifest of the CRD: the CustomResourceDefinition as a dict."""
        schema: dict[str, Any] = {
            "type": "object",
            "description": self.description,
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": self.spec,
                "status": self.status,
            },
        }
        if self.rules:
            schema["x-kubernetes-validations"] = self.rules
        selectable = {"selectableFields": [{"jsonPath": path} for path in self.selectable]} if self.selectable else {}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.name},
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": self.kind,
                    "listKind": f"{self.kind}List",
                    "plural": self.plural,
                    "singular": self.kind.lower(),
                    "shortNames": [self.short_name],
                    "categories": ["ml"],
                },
                "scope": self.scope,
                "versions": [
                    {
                        "name": VERSION,
                        "served": True,
                        "storage": True,
                        "subresources": {"status": {}},
                        "additionalPrinterColumns": [
                            {"name": name, "jsonPath": path, "type": kind, "priority": priority}
                            for name, path, kind, priority in self.columns
                        ],
                        **selectable,
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        }


def keyed(properties: dict[str, Any], lists: dict[str, list[str]]) -> None:
    """Set ``x-kubernetes-list-type: map`` in the schemas of lists, so that server-side apply
    identifies an entry by its keys.

    Args:
        properties: The schemas of an object's fields, by field name. The function changes the
            schemas of the lists.
        lists: A dict from the field name of a list to the names of the key fields of its entries.
    """
    for name, keys in lists.items():
        properties[name]["x-kubernetes-list-type"] = "map"
        properties[name]["x-kubernetes-list-map-keys"] = keys
