"""Checks the kind, the metadata, the fields and the values of one object in a manifest. The checks
include the validation rules (CEL) in the CRD of the kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from mljob_contract import airflow_instance, mljob
from mljob_contract.resource import API_VERSION, GROUP, ObjectName

from ..documents import MAX_QUOTED, Document
from ..findings import Finding, meant
from ..manifest import MAX_NAME
from ..misfits import field_of, in_words, misfits, quoted
from ..text import plain
from ..yaml_scalars import whole
from .schemas import broken_rules, schema_of, unknown_fields, wrong_times

SPECS: dict[str, type[BaseModel]] = {
    mljob.KIND: mljob.MLJobSpec,
    airflow_instance.KIND: airflow_instance.AirflowInstanceSpec,
}
"""The model of each kind's spec."""
MAX_PATH = 200
"""The maximum number of characters of a finding's path."""
MAX_MESSAGE = 500
"""The maximum number of characters of a finding's message."""
_NAME = TypeAdapter[str](ObjectName)
_TEXTS = ("labels", "annotations")


def is_ours(value: Any) -> bool:
    """Return whether an object has this project's API group, or the kind MLJob or AirflowInstance."""
    if not isinstance(value, dict):
        return False
    version, kind = value.get("apiVersion"), value.get("kind")
    return (isinstance(version, str) and version.split("/")[0] == GROUP) or kind in SPECS


def check(document: Document) -> list[Finding]:
    """Return the mistakes in a document, in the order of their lines. :func:`is_ours` must be True
    for the document's content.
    """
    value = whole(document.value)
    found = [*document.findings, *_of_kind(value)]
    kind = value.get("kind")
    if kind in SPECS:
        found += [*_of_metadata(value.get("metadata"), kind), *_of_spec(value, kind)]
    with_lines = (
        Finding(
            plain(finding.path, MAX_PATH),
            plain(finding.message, MAX_MESSAGE),
            finding.line or document.line_of(finding.path),
        )
        for finding in found
    )
    return sorted(dict.fromkeys(with_lines), key=lambda finding: finding.line or 0)


def _of_kind(value: dict[str, Any]) -> Iterator[Finding]:
    version, kind = value.get("apiVersion"), value.get("kind")
    if version != API_VERSION:
        yield Finding("apiVersion", f"{quoted(version)} is not served; write {API_VERSION}")
    if kind not in SPECS:
        yield Finding("kind", f"{quoted(kind)} is not a kind of {GROUP}{meant(str(kind), SPECS)}")


def _of_metadata(metadata: Any, kind: str) -> Iterator[Finding]:
    if not isinstance(metadata, dict):
        yield Finding("metadata", "is missing; write metadata: {name: ...}")
        return
    name, prefix = metadata.get("name"), metadata.get("generateName")
    if name is None and prefix is None:
        yield Finding("metadata.name", "is missing")
    elif name is not None:
        try:
            _NAME.validate_python(name, strict=True)
        except ValidationError:
            limit = MAX_NAME if kind == mljob.KIND else 253
            yield Finding(
                "metadata.name",
                f"{quoted(name)} is not a name of a Kubernetes object: at most {limit} lower-case letters, digits, '-' and '.', "
                "beginning and ending with a letter or digit",
            )
    if kind == airflow_instance.KIND and metadata.get("namespace"):
        yield Finding("metadata.namespace", f"{kind} has no namespace; remove it")
    for field in _TEXTS:
        for key, text in _entries(metadata.get(field)):
            if not isinstance(text, str):
                yield Finding(f"metadata.{field}.{plain(key, MAX_QUOTED)}", f"{quoted(text)} is not a text; quote it")


def _of_spec(value: dict[str, Any], kind: str) -> Iterator[Finding]:
    schema, spec = schema_of(kind), value.get("spec")
    written = {name: part for name, part in value.items() if name != "status"}
    yield from unknown_fields(written, schema)
    if not isinstance(spec, dict):
        yield Finding("spec", "is missing" if spec is None else f"{quoted(spec)} is not an object")
        return
    if kind == mljob.KIND:
        yield from _of_conf(spec.get("conf"))
    # A rule says what to write, so it replaces what the model finds in the same field.
    broken = [*broken_rules(written, _with_name(schema)), *wrong_times(written, schema)]
    reported = {finding.path for finding in broken}
    given = {name: field for name, field in spec.items() if field is not None}
    found = (Finding(field_of(problem), in_words(problem)) for problem in misfits(given, SPECS[kind]))
    yield from (finding for finding in found if finding.path not in reported)
    yield from broken


def _of_conf(conf: Any) -> Iterator[Finding]:
    if not isinstance(conf, dict):
        return
    if (levels := _levels(conf)) > mljob.MAX_CONF_LEVELS:
        yield Finding("spec.conf", f"has {levels} levels, more than {mljob.MAX_CONF_LEVELS}")
    size = len(json.dumps(conf, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
    if size > mljob.MAX_CONF_BYTES:
        yield Finding("spec.conf", f"has {size} bytes as JSON, more than {mljob.MAX_CONF_BYTES}")


def _levels(value: Any) -> int:
    """Return the number of levels of objects and lists: 0 for a text, 1 for ``[1]``, and 2 for
    ``[[1]]``.
    """
    children: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    deepest = max((_levels(child) for child in children), default=0)
    return deepest + (1 if isinstance(value, dict | list) else 0)


def _with_name(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a CRD with the added field ``metadata.name``. Some validation rules read
    this field.
    """
    metadata = {"type": "object", "properties": {"name": {"type": "string"}}}
    return {**schema, "properties": {**schema["properties"], "metadata": metadata}}


def _entries(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()
