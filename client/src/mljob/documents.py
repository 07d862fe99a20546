"""Reads YAML documents as kubectl reads them, and records the line number of each field.

kubectl converts YAML to JSON. So NaN is a mistake, and a key such as ``1`` is read as a text. A key
that kubectl changes, such as ``on`` to ``true``, is a mistake.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from .findings import Finding
from .text import plain
from .yaml_scalars import Loader, stored_key

MAX_BYTES = 8 * 1024 * 1024
"""The maximum size of a file, in bytes."""
MAX_DOCUMENTS = 1_000
"""The maximum number of documents in a file."""
MAX_NODES = 200_000
"""The maximum number of values in a document, aliases counted each time."""
MAX_LEVELS = 64
"""The maximum number of nested levels in a document."""
MAX_QUOTED = 80
"""The maximum number of characters of a text from a file in a message."""


class DocumentError(ValueError):
    """A text is not YAML, or exceeds a limit. The message names the line if the mistake is in one
    line.
    """


_MERGE = "tag:yaml.org,2002:merge"
_STRING = "tag:yaml.org,2002:str"


@dataclass
class Document:
    """One document of a file.

    Attributes:
        value: The content, made of the types of JSON.
        findings: Mistakes of the YAML itself, such as a key that is used twice.
        lines: The line number of each field, by the path of the field, such as ``spec.conf``.
    """

    value: Any
    findings: list[Finding] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)

    def line_of(self, path: str) -> int | None:
        """Return the line number of a field. If the document lacks the field, return the line
        number of the nearest parent that the document has. Return None if :attr:`lines` is empty.
        """
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get("")


def documents(text: str) -> Iterator[Document]:
    """Yield the documents of a text, except empty documents.

    Raises:
        DocumentError: The text is not YAML, is too large or has too many documents, or a document
            has too many levels or values.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise DocumentError(f"has more than {MAX_BYTES} bytes")
    try:
        _refuse_excess(text)
        loader = Loader(text)
        while loader.check_node():
            node = loader.get_node()
            document = _Converter(loader).convert(node) if node is not None else Document(None)
            if document.value is not None or document.findings:
                yield document
    except yaml.YAMLError as error:
        raise DocumentError(_in_words(error)) from None


def _refuse_excess(text: str) -> None:
    """Raise a :class:`DocumentError` if the text has too many documents, or if a document has too
    many levels. Without this check, a very deep document would crash the process when libyaml
    builds the nodes.
    """
    levels = count = 0
    for event in yaml.parse(text, Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            levels += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            count += 1
        if levels > MAX_LEVELS:
            raise DocumentError(f"line {_line(event.start_mark)}: is nested deeper than {MAX_LEVELS} levels")
        if count > MAX_DOCUMENTS:
            raise DocumentError(f"has more than {MAX_DOCUMENTS} documents")


def _in_words(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}: " if mark is not None else ""
    why = getattr(error, "problem", None) or (error.args[0] if error.args else type(error).__name__)
    return f"{where}is not YAML: {plain(str(why), 200)}"


def _line(mark: Any) -> int:
    return int(mark.line) + 1


class _Converter:
    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._left = MAX_NODES
        self._document = Document(None)

    def convert(self, node: Node) -> Document:
        self._document.value = self._value(node, "", 0)
        return self._document

    def _value(self, node: Node, path: str, level: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise DocumentError(f"has more than {MAX_NODES} values, aliases counted each time")
        if level > MAX_LEVELS:
            raise DocumentError(f"line {node.start_mark.line + 1}: is nested deeper than {MAX_LEVELS} levels")
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, path, level)
        if isinstance(node, SequenceNode):
            return [self._value(item, f"{path}[{index}]", level + 1) for index, item in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, path: str, level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                for name, value in self._merged(value_node, path, level + 1):
                    inherited.setdefault(name, value)
                continue
            if not isinstance(key_node, ScalarNode):
                self._complain(path, "has a key that is not a text", key_node)
                continue
            key = str(key_node.value)
            below = f"{path}.{key}" if path else key
            if key in found:
                self._complain(below, "is given twice", key_node)
            elif key_node.tag != _STRING and (stored := stored_key(self._loader, key_node)) != key:
                does = "refuses this key" if stored is None else f"stores it as {plain(stored, MAX_QUOTED)!r}"
                self._complain(below, f"is a key without quotes, and kubectl {does}; quote it", key_node)
            self._document.lines[below] = key_node.start_mark.line + 1
            found[key] = self._value(value_node, below, level + 1)
        return {**inherited, **found}

    def _merged(self, node: Node, path: str, level: int) -> Iterator[tuple[str, Any]]:
        """Yield the fields of the mappings that a merge key (``<<``) names."""
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            value = self._value(source, path, level)
            if isinstance(value, dict):
                yield from value.items()
            else:
                self._complain(path, "has a merge key << that doesn't name a mapping", source)

    def _scalar(self, node: ScalarNode, path: str) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError, OverflowError):
            self._complain(path, f"{plain(node.value, MAX_QUOTED)!r} is not a value of YAML's tag {node.tag}", node)
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._complain(path, f"{plain(node.value, MAX_QUOTED)!r} is no number in JSON; leave it out", node)
            return None
        return value if value is None or isinstance(value, str | bool | int | float) else str(node.value)

    def _complain(self, path: str, message: str, node: Node) -> None:
        self._document.findings.append(Finding(path, message, node.start_mark.line + 1))
