"""The fields of the CRDs in this source tree, and the fields of the released CRDs. The released
fields are recorded in ``released_fields.json``. The command
``python -m tests.unit.contract.released_fields`` adds the new fields of the source tree to this
file.
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
    """Return the fields of each CRD in this source tree, by the CRD's plural and version."""
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
    """Return the fields in ``released_fields.json`` for each CRD, by the CRD's plural and version."""
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
    """Return the paths of the new required fields that would make existing objects invalid. A new
    required field is harmless only if its parent is a new field, too. ``earlier`` and ``now`` are
    the fields of one CRD before and after a change.
    """
    new = [path for path, kind in now.items() if path not in earlier and kind.endswith("!")]
    return [path for path in new if (parent := path.rpartition(".")[0]) in earlier or "." not in parent]


def main() -> None:
    """Add the new fields of the CRDs to ``released_fields.json``. Fields in the file stay as they
    are.

    Raises:
        SystemExit: A released CRD gets a required field that existing objects lack.
    """
    earlier: dict[str, Fields] = released() if RELEASED.exists() else {}
    for crd, fields in fields_of_crds().items():
        if crd in earlier and (broken := breaking(earlier[crd], fields)):
            raise SystemExit(f"{crd} gets required fields, and objects that exist lack them: {', '.join(broken)}")
    merged = {crd: dict(sorted((fields | earlier.get(crd, {})).items())) for crd, fields in fields_of_crds().items()}
    RELEASED.write_text(json.dumps(earlier | merged, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
