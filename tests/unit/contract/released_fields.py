"""The fields of the CRDs. ``released_fields.json`` records the fields of the released CRDs.

``python -m tests.unit.contract.released_fields`` adds new fields to ``released_fields.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests import libyaml

ROOT = Path(__file__).resolve().parents[3]
RELEASED = Path(__file__).with_name("released_fields.json")

Fields = dict[str, str]
"""The type of each field, by the field's path. The type of a required field ends with an
exclamation mark.
"""


@cache
def fields_of_crds() -> dict[str, Fields]:
    found = {}
    for file in sorted((ROOT / "crds").glob("*.yaml")):
        crd = libyaml.load(file.read_text(encoding="utf-8"))["spec"]
        (version,) = crd["versions"]
        schema = version["schema"]["openAPIV3Schema"]["properties"]
        found[f"{crd['names']['plural']}.{version['name']}"] = {
            path: kind for part in ("spec", "status") for path, kind in _fields(schema[part], part)
        }
    return found


@cache
def released() -> dict[str, Fields]:
    found: dict[str, Fields] = json.loads(RELEASED.read_text(encoding="utf-8"))
    return found


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        below = f"{path}.{name}"
        yield below, f"{field.get('type', 'any')}{'!' if name in required else ''}"
        yield from _fields(field, below)
    if "items" in schema:
        yield f"{path}[]", str(schema["items"].get("type", "any"))
        yield from _fields(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from _fields(schema["additionalProperties"], f"{path}{{}}")


def breaking(earlier: Fields, now: Fields) -> list[str]:
    """Return the new required fields that would make existing objects invalid. A required field is
    harmless if its parent is a new field too.
    """
    new = [path for path, kind in now.items() if path not in earlier and kind.endswith("!")]
    return [path for path in new if (parent := path.rpartition(".")[0]) in earlier or "." not in parent]


def main() -> None:
    earlier: dict[str, Fields] = released() if RELEASED.exists() else {}
    for crd, fields in fields_of_crds().items():
        if crd in earlier and (broken := breaking(earlier[crd], fields)):
            raise SystemExit(f"{crd} gets required fields, and objects that exist lack them: {', '.join(broken)}")
    merged = {crd: dict(sorted((fields | earlier.get(crd, {})).items())) for crd, fields in fields_of_crds().items()}
    RELEASED.write_text(json.dumps(earlier | merged, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
