"""Write the CRD from the models in ``mljob_contract``: ``make generate``; ``--check`` (``make verify``) fails on drift.

Pydantic's JSON schema is close to what Kubernetes wants, not equal to it. A structural schema
(kubernetes.io: "Specifying a structural schema") has no ``$ref``, no ``anyOf [X, null]``, no ``title`` and a type on every level.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from mljob_contract import mljob
from mljob_contract.run_id import MAX_NAME_LENGTH

ROOT = Path(__file__).resolve().parent.parent
NAME = f"{mljob.PLURAL}.{mljob.GROUP}"
TARGETS = (
    ROOT / "crds" / f"{NAME}.yaml",
    ROOT / "charts" / "mljob-operator" / "files" / "crds" / f"{NAME}.yaml",
)
HEADER = "# Generated from contract/ by `make generate`. Do not edit.\n"

PRINTER_COLUMNS = [
    ("DAG", ".spec.dagId", "string", 0),
    ("Phase", ".status.phase", "string", 0),
    ("Progress", ".status.progress", "string", 0),
    ("Task", ".status.currentTask", "string", 0),
    ("Attempts", ".status.attempts", "integer", 0),
    ("Age", ".metadata.creationTimestamp", "date", 0),
    ("Percent", ".status.percent", "integer", 1),
    ("Run ID", ".status.dagRunId", "string", 1),
    ("Started", ".status.startTime", "date", 1),
    ("Finished", ".status.completionTime", "date", 1),
    ("Reason", ".status.reason", "string", 1),
]

SPEC_RULES: list[dict[str, str]] = [
    {
        "rule": "!self.dagId.startsWith('.') && !self.dagId.endsWith('.')",
        "message": "dagId must not begin or end with a dot",
        "fieldPath": ".dagId",
    },
]
NAME_RULE = {
    "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
    "message": f"metadata.name must have at most {MAX_NAME_LENGTH} characters: it is a part of the dag run id, which Airflow bounds at 250",
}


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Turn one node of a pydantic JSON schema into a node of a structural schema, references resolved."""
    schema = dict(schema)
    if "$ref" in schema:
        target = definitions[schema.pop("$ref").rsplit("/", 1)[-1]]
        return structural({**target, **schema}, definitions)
    if "anyOf" in schema:
        (choice,) = [option for option in schema.pop("anyOf") if option.get("type") != "null"]
        return structural({**choice, **schema}, definitions)

    out: dict[str, Any] = {}
    if description := schema.get("description"):
        out["description"] = " ".join(str(description).replace("``", "").split())
    for key in ("type", "enum", "format", "pattern", "minimum", "maximum", "minLength", "maxLength", "required"):
        if key in schema:
            out[key] = schema[key]
    if schema.get("default") is not None:
        out["default"] = schema["default"]
    if out.get("type") == "object":
        if "properties" in schema:
            out["properties"] = {name: structural(node, definitions) for name, node in schema["properties"].items()}
        elif isinstance(values := schema.get("additionalProperties"), dict):
            out["additionalProperties"] = structural(values, definitions)
        else:
            out["x-kubernetes-preserve-unknown-fields"] = True
    if out.get("type") == "array":
        out["items"] = structural(schema["items"], definitions)
    return out


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The structural schema of a model, by its aliases."""
    schema = model.model_json_schema(by_alias=True)
    return structural(schema, schema.pop("$defs", {}))


def without_defaults(node: dict[str, Any]) -> dict[str, Any]:
    """A status is written whole by the operator: the apiserver must not fill anything in."""
    node = {key: value for key, value in node.items() if key != "default"}
    if "properties" in node:
        node["properties"] = {name: without_defaults(child) for name, child in node["properties"].items()}
    if "items" in node:
        node["items"] = without_defaults(node["items"])
    return node


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as a dict."""
    spec = model_schema(mljob.MLJobSpec)
    spec["x-kubernetes-validations"] = SPEC_RULES
    # An object default fills the nested defaults too: `cancellation` absent means the same as `cancellation: {}`.
    spec["properties"]["cancellation"]["default"] = {}
    status = without_defaults(model_schema(mljob.MLJobStatus))
    properties = status["properties"]
    properties["tasks"]["maxItems"] = mljob.MAX_TASKS
    for name, keys in {"tasks": ["taskId"], "conditions": ["type"]}.items():
        properties[name]["x-kubernetes-list-type"] = "map"
        properties[name]["x-kubernetes-list-map-keys"] = keys
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": mljob.GROUP,
            "names": {
                "kind": mljob.KIND,
                "listKind": f"{mljob.KIND}List",
                "plural": mljob.PLURAL,
                "singular": "mljob",
                "shortNames": ["mlj"],
                "categories": ["ml"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": mljob.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "jsonPath": path, "type": kind, "priority": priority}
                        for name, path, kind, priority in PRINTER_COLUMNS
                    ],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "description": "MLJob is one unit of ML work: a run of an Airflow DAG, with its progress in the status.",
                            "required": ["spec"],
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"type": "object"},
                                "spec": spec,
                                "status": status,
                            },
                            "x-kubernetes-validations": [NAME_RULE],
                        }
                    },
                }
            ],
        },
    }


def main() -> int:
    """Write the files, or with ``--check`` compare them and return 1 on drift."""
    text = HEADER + yaml.safe_dump(crd(), sort_keys=False, width=120, allow_unicode=True)
    check = "--check" in sys.argv[1:]
    drift = False
    for target in TARGETS:
        current = target.read_text() if target.exists() else ""
        if current == text:
            continue
        drift = True
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(current.splitlines(True), text.splitlines(True), str(target.name), "generated")
            )
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            print(f"wrote {target.relative_to(ROOT)}")
    if check and drift:
        print("The CRD differs from contract/: run `make generate` and commit the result.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
