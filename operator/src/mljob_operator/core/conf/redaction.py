"""Redaction: replaces texts that came from Secrets by ``***`` in all texts that may quote them.

A hidden text is found as it is, as JSON, Python's ``repr``, URLs and HTML encode it, and in base64.
A value of several lines is found line by line, and a URL by its password. Where a text was cut, the
beginning of a hidden text is found too, because the producer of an event cuts texts without knowing
what in them is secret.

Other encodings are not found: a value in the middle of base64 data, encrypted, reversed, or in
upper case.
"""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
"""Stands for a hidden text."""
WITHHELD = "(withheld: it may quote a Secret of spec.confFrom, and what the run has from there is not known yet)"
"""Stands for a text of a run while it is not known which texts are to be hidden in it."""
MIN_LENGTH = 4
"""Characters from which on a hidden text is found inside words. A shorter text (1, eu, dev) occurs
in many words by chance, so it is hidden only where it is a whole word.
"""
MIN_LINE = 8
"""Characters from which on a line of a value is hidden by itself."""
MAX_FORMS = 5_000
MAX_CHARACTERS = 4 * 1024 * 1024
"""The limits of the number and the total length of all encodings of a run's hidden texts. A longer
search would delay other MLJobs, so if a run exceeds a limit, all of its texts are withheld.
"""

_CUT = re.compile(r"\.\.\.|…|\Z")
"""Where a text may have been cut: at an ellipsis, and at its end."""
_CUTS = 8
"""How many of these places are examined: the last ones."""
_MEMORY = 500
"""How many redacted texts are cached. Each new status of a run needs the texts of all its tasks
again.
"""
_MEMORABLE = 4000
"""Characters of the longest text that is cached."""
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    # In a text with a double quote, repr escapes a single quote.
    lambda text: repr(f'"{text}')[2:-1],
    lambda text: repr(text.encode("utf-8", "replace"))[2:-1],
    lambda text: quote(text, safe="", errors="replace"),
    lambda text: quote(text, errors="replace"),
    lambda text: quote_plus(text, errors="replace"),
    html.escape,
)


@dataclass(frozen=True)
class Redaction:
    """Which texts are to be hidden for one MLJob.

    Attributes:
        hidden: Texts from Secrets.
        complete: Whether ``hidden`` has all texts that the run has from Secrets. If not, all texts
            of the run are withheld.
    """

    hidden: frozenset[str] = frozenset()
    complete: bool = True

    def text(self, text: str) -> str:
        """The text with hidden texts replaced."""
        if not self.hidden:
            return text
        if self._forms is None:
            return WITHHELD
        if (told := self._told.get(text)) is not None:
            return told
        told = _replaced(text, _merged(sorted(self._found(text, *self._forms))))
        if len(text) <= _MEMORABLE:
            if len(self._told) >= _MEMORY:
                self._told.clear()
            self._told[text] = told
        return told

    def outside(self, text: str) -> str:
        """The text that a task of the run wrote, with hidden texts replaced; ``WITHHELD`` while not
        all hidden texts are known.
        """
        return self.text(text) if self.complete else WITHHELD

    def value(self, value: Any) -> Any:
        """The JSON value with hidden texts replaced, in keys too. A number that equals a hidden
        text becomes ``***``.
        """
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case bool() | None:
                return value
            case _:
                return HIDDEN if str(value) in self.hidden else value

    @cached_property
    def _told(self) -> dict[str, str]:
        return {}

    @cached_property
    def _forms(self) -> tuple[_Forms, re.Pattern[str] | None] | None:
        """The encodings to find inside words, and the pattern of those to find as whole words;
        None: there are too many.
        """
        forms: set[str] = set()
        size = 0
        for text in self.hidden:
            for form in _forms(text):
                if form not in forms:
                    forms.add(form)
                    size += len(form)
            if len(forms) > MAX_FORMS or size > MAX_CHARACTERS:
                return None
        words = sorted((form for form in forms if len(form) < MIN_LENGTH), key=len, reverse=True)
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)") if words else None
        return _Forms(form for form in forms if len(form) >= MIN_LENGTH), pattern

    @staticmethod
    def _found(text: str, forms: _Forms, words: re.Pattern[str] | None) -> Iterator[tuple[int, int]]:
        """The spans of hidden texts: where each begins and ends."""
        begin = forms.begin_in(text)
        for form in begin:
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + len(form))
        if begin:
            for cut in [cut.start() for cut in _CUT.finditer(text)][-_CUTS:]:
                if (start := forms.beginning(text, cut)) is not None:
                    yield start, cut
        if words is not None:
            yield from (found.span() for found in words.finditer(text))


class _Forms:
    """Encodings of hidden texts, indexed by their first characters: hundreds of texts are searched
    for thousands of encodings, and hardly any occurs.
    """

    def __init__(self, forms: Iterable[str]) -> None:
        self._sorted = sorted(forms)
        self._longest = max(map(len, self._sorted), default=0)
        self._by_start: defaultdict[str, list[str]] = defaultdict(list)
        for form in self._sorted:
            self._by_start[form[:MIN_LENGTH]].append(form)

    def begin_in(self, text: str) -> list[str]:
        """The encodings whose first characters occur in a text."""
        starts = {text[at : at + MIN_LENGTH] for at in range(len(text) - MIN_LENGTH + 1)}
        return [form for start in starts & self._by_start.keys() for form in self._by_start[start]]

    def beginning(self, text: str, cut: int) -> int | None:
        """Where an encoding begins that the cut at ``cut`` has truncated; None: there is none."""
        for at in range(max(0, cut - self._longest), cut - MIN_LENGTH + 1):
            if text[at : at + MIN_LENGTH] in self._by_start and self._is_beginning(text[at:cut]):
                return at
        return None

    def _is_beginning(self, text: str) -> bool:
        """Whether an encoding begins with this text. Such encodings follow the text in alphabetical
        order.
        """
        place = bisect_left(self._sorted, text)
        return place < len(self._sorted) and self._sorted[place].startswith(text)


OPEN = Redaction()
"""The redaction of an MLJob without values from Secrets: it hides nothing."""


def texts(value: Any) -> Iterator[str]:
    """All strings and numbers in a JSON value, as text. Keys are left out, because they are not
    secret.
    """
    pending = [value]
    while pending:
        match pending.pop():
            case dict() as children:
                pending += children.values()
            case list() | tuple() as children:
                pending += children
            case bool() | None:
                continue
            case leaf:
                yield str(leaf)


def _forms(text: str) -> Iterator[str]:
    """The encodings of a hidden text, and of its parts."""
    for whole in {text, text.strip()}:
        if len(whole) >= MIN_LENGTH:
            data = whole.encode("utf-8", "replace")
            yield base64.b64encode(data).decode().rstrip("=")
            yield base64.urlsafe_b64encode(data).decode().rstrip("=")
    for part in {text.strip(), " ".join(text.split()), *_parts(text)}:
        if len(part) < MIN_LENGTH:
            if re.search(r"\w", part):
                yield part
            continue
        for once in {part, *(spell(part) for spell in _SPELLINGS)}:
            # Twice: an exception quotes an answer in JSON, which quotes the value.
            yield from (once, json.dumps(once)[1:-1], repr(once)[1:-1], repr(f'"{once}')[2:-1])


def _parts(text: str) -> Iterator[str]:
    """The parts of a value that are secret by themselves: the lines of a key file, the password of
    a URL, the values of a JSON object.
    """
    lines = text.splitlines()
    if len(lines) > 1:
        yield from (line.strip() for line in lines if len(line.strip()) >= MIN_LINE)
    if "://" in text and (password := _password(text)):
        yield from (password, unquote(password))
    if text.lstrip().startswith("{"):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return
        for child in texts(inner):
            yield child
            if len(child.splitlines()) > 1:
                yield from _parts(child)


def _password(url: str) -> str | None:
    try:
        return urlsplit(url.strip()).password
    except ValueError:
        return None


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The spans, with those that touch or overlap joined."""
    current: tuple[int, int] | None = None
    for start, end in spans:
        if current is not None and start <= current[1]:
            current = current[0], max(current[1], end)
        else:
            if current is not None:
                yield current
            current = start, end
    if current is not None:
        yield current


def _replaced(text: str, spans: Iterable[tuple[int, int]]) -> str:
    kept, end = [], 0
    for start, stop in spans:
        kept += [text[end:start], HIDDEN]
        end = stop
    return "".join(kept) + text[end:] if kept else text
