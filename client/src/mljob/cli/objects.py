"""Formats objects as kubectl's option ``-o json|yaml|name`` does."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from ..hidden_characters import HIDDEN
from ..json_text import shallow
from ..resource import API_VERSION, MLJob
from .options import Format

_HIDDEN = re.compile(f"[{HIDDEN}]")
"""Characters that JSON allows in texts, and that a terminal obeys or hides."""


def named(job: MLJob) -> str:
    """Return the name of an MLJob as ``kubectl -o name`` prints it: ``mljob.mljob.dev/NAME``."""
    return f"mljob.mljob.dev/{job.name}"


def dumped(objects: list[dict[str, Any]], output: Format, *, as_list: bool) -> str:
    """Return MLJobs as JSON or YAML, without ``managedFields``.

    Args:
        objects: The MLJobs as the API server sent them. A missing ``apiVersion`` or ``kind`` is
            added.
        output: JSON or YAML.
        as_list: Whether to return a Kubernetes List of all MLJobs, instead of only the first MLJob.
    """
    shown = [_without_managers(value) for value in objects]
    return text_of({"apiVersion": "v1", "kind": "List", "items": shown} if as_list else shown[0], output)


def text_of(value: Any, output: Format) -> str:
    """Return a value as JSON or YAML. Control characters, invisible characters and bidirectional
    formatting characters are escaped. If the encoding of standard output lacks a character, all
    characters outside of ASCII are escaped. Objects and lists that are nested deeper than
    :data:`.MAX_LEVELS` levels become null.
    """
    shown = shallow(value)
    text = json.dumps(shown, indent=4, ensure_ascii=False) + "\n"
    if output is Format.JSON:
        escaped = _escaped(text)
        return escaped if _stdout_has(escaped) else _escaped(json.dumps(shown, indent=4) + "\n")
    import yaml

    from ..yaml_scalars import Dumper

    allowed = not _HIDDEN.search(text) and _stdout_has(text)
    return str(yaml.dump(shown, Dumper=Dumper, sort_keys=False, allow_unicode=allowed, width=1_000))


def _escaped(text: str) -> str:
    return _HIDDEN.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _stdout_has(text: str) -> bool:
    """Return whether the encoding of standard output has all characters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _without_managers(value: dict[str, Any]) -> dict[str, Any]:
    metadata = value.get("metadata")
    kept = (
        {name: field for name, field in metadata.items() if name != "managedFields"}
        if isinstance(metadata, dict)
        else {}
    )
    return {"apiVersion": API_VERSION, "kind": "MLJob", **value, "metadata": kept}
