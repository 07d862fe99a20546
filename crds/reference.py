"""Generates the tables of fields in the pages of ``docs/spec/`` (``make generate``). The tables are
made from the CRDs. With ``--check`` (``make verify``) the command only compares, and fails if a
table differs from its CRD.

A pair of comments in a page marks the place of a table, and names the field that the table
describes::

    <!-- fields: spec.backfill -->
    <!-- end of fields -->

The table between these comments has all fields below ``spec.backfill``, at every level. Their paths
in the table are relative to ``spec``, for example ``backfill.from``. A table for ``spec, level 1``
has only the direct fields of ``spec``. People write all other text of a page.
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    ROOT / "docs" / "spec" / "mljob.md": ROOT / "crds" / "mljobs.mljob.dev.yaml",
    ROOT / "docs" / "spec" / "airflowinstance.md": ROOT / "crds" / "airflowinstances.mljob.dev.yaml",
}
"""For each page, the file of the CRD that the page's tables describe."""

MARKED = re.compile(
    r"(<!-- fields: (?P<path>[\w.\[\]]+)(?:, level (?P<level>\d+))? -->\n).*?(<!-- end of fields -->)", re.DOTALL
)
SPEC_HEAD = "| Field | Type | Default | Meaning |\n|---|---|---|---|\n"
STATUS_HEAD = "| Field | Type | Meaning |\n|---|---|---|\n"
"""A table about a status has no column for defaults, because the fields of a status have no
defaults.
"""
PATTERN_RULE = re.compile(r"self\.matches\(r'(.*)'\)")
"""The validation rule that :mod:`crds.structural` writes for a pattern with a message of its
own.
"""

DEEPEST = 100
"""A number of levels that is higher than in any CRD."""

Node = dict[str, Any]


def filled(page: str, definition: Node) -> str:
    """Return the Markdown text of a page with a new table in each marked place. The tables describe
    the fields of the CustomResourceDefinition ``definition``.
    """
    schema: Node = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    headings = set(re.findall(r"^#+ `([^`]+)`$", page, re.MULTILINE))

    def table(mark: re.Match[str]) -> str:
        root, _, prefix = mark["path"].partition(".")
        node = find(schema["properties"][root], prefix)
        fields = below(node, prefix, int(mark["level"] or DEEPEST))
        head, row = (SPEC_HEAD, spec_row) if root == "spec" else (STATUS_HEAD, status_row)
        lines = (row(field, linked(field.path, headings)) for field in fields)
        return f"{mark[1]}\n{head}{''.join(lines)}\n{mark[4]}"

    return MARKED.sub(table, page)


def find(node: Node, path: str) -> Node:
    """Return the schema node of a field. ``path`` is the path from ``node`` to the field, for
    example ``access[].credentials``. An empty path leads to ``node`` itself.
    """
    for part in filter(None, path.split(".")):
        node = node["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            node = node["items"]
    return node


class Field(NamedTuple):
    """A field of a schema: its path, its schema node, and whether the field is required in its
    object.
    """

    path: str
    node: Node
    is_required: bool


def below(node: Node, prefix: str, levels: int) -> Iterator[Field]:
    """Yield the fields below a node of a schema, at most ``levels`` levels deep. Each field is
    followed by the fields below it. ``prefix`` is the path of the node.
    """
    for name, child in node.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        yield Field(path, child, name in node.get("required", ()))
        if levels > 1:
            is_list = "items" in child
            yield from below(child.get("items", child), f"{path}[]" if is_list else path, levels - 1)


def spec_row(field: Field, name: str) -> str:
    """Return a field's row in a table about a spec: name, type, default and description. ``name``
    is the text for the name, in Markdown. The column for the default says ``required`` if the field
    is required.
    """
    default = "required" if field.is_required else default_of(field.node)
    return f"| {name} | {type_of(field.node)} | {default} | {description_of(field.node)} |\n"


def status_row(field: Field, name: str) -> str:
    """Return a field's row in a table about a status: name, type and description. ``name`` is the
    text for the name, in Markdown.
    """
    return f"| {name} | {type_of(field.node)} | {description_of(field.node)} |\n"


def linked(path: str, headings: set[str]) -> str:
    """Return a field's path in backticks. If the page has a heading for the field, the path is a
    link to the heading.
    """
    return f"[`{path}`](#{anchor(path)})" if path in headings else f"`{path}`"


def anchor(heading: str) -> str:
    """Return the anchor that GitHub makes for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def type_of(field: Node) -> str:
    """Return the type of a field, with the limits and the pattern of its values, for example
    ``integer, 1 to 100``. For a field with an enum, return the allowed values instead.
    """
    if values := field.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    kind = "RFC 3339 time" if field.get("format") == "date-time" else field["type"]
    if kind == "array":
        kind = f"list of {type_of(field['items'])}"
    if values := field.get("additionalProperties"):
        kind = f"map of {type_of(values)}"
    bounds = [
        between(field.get("minimum"), field.get("maximum"), ""),
        between(field.get("minLength"), field.get("maxLength"), " characters"),
        between(field.get("minItems"), field.get("maxItems"), " entries"),
    ]
    pattern = f"`{pattern_of(field)}`" if pattern_of(field) else ""
    return ", ".join(filter(None, [kind, *bounds, pattern]))


def between(least: int | None, most: int | None, unit: str) -> str:
    """Return a range in words, for example ``1 to 100`` or ``at most 5 entries``. Return an empty
    text if both limits are None.
    """
    if least is None and most is None:
        return ""
    if most is None:
        return f"{least}{unit} or more"
    return f"at most {most}{unit}" if least is None else f"{least} to {most}{unit}"


def pattern_of(field: Node) -> str:
    """Return the regular expression that the field's values have to match, or an empty text if the
    field has none.
    """
    rules = [PATTERN_RULE.fullmatch(rule["rule"]) for rule in field.get("x-kubernetes-validations", ())]
    found = [field.get("pattern"), *(rule[1] for rule in rules if rule)]
    return next((pattern for pattern in found if pattern), "")


def default_of(field: Node) -> str:
    """Return the default of a field in backticks. A default that is not a text is written as JSON.
    Return an empty text if the field has no default.
    """
    if "default" not in field:
        return ""
    default = field["default"]
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def description_of(field: Node) -> str:
    """Return the description of a field, escaped for a cell of a Markdown table. It is the
    description that ``kubectl explain`` shows.
    """
    return str(field.get("description", "")).replace("|", r"\|").replace("<", "&lt;")


def main() -> int:
    """Write the tables and return 0. With ``--check``, compare the tables with the CRDs, and return
    1 if a table differs.
    """
    check = "--check" in sys.argv[1:]
    drift = False
    for page, source in PAGES.items():
        current = page.read_text()
        text = filled(current, yaml.load(source.read_text(), Loader=yaml.CSafeLoader))
        if current == text:
            continue
        drift = True
        if check:
            sys.stdout.writelines(
                difflib.unified_diff(current.splitlines(True), text.splitlines(True), page.name, "generated")
            )
        else:
            page.write_text(text)
            print(f"wrote {page.relative_to(ROOT)}")
    if check and drift:
        print(
            "A field table in docs/spec differs from the CRD: run `make generate` and commit the result.",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
