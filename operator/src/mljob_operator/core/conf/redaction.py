"""Redaction replaces each text that came from a Secret by ``***``. Such a text is called a hidden
text.

A hidden text is found as it is, in base64, and in the encodings of JSON, Python's ``repr``, URLs
and HTML. Some parts of a hidden text are found on their own: lines of at least ``MIN_LINE``
(8) characters, the password in a URL, and the values in a JSON object. If a hidden text was cut off
at the end of the searched text or before an ellipsis, the hidden text is found if at least its
first ``MIN_LENGTH`` (4) characters are left. An exact redaction (``Redaction.exact``) finds neither
parts nor hidden texts that were cut off.

A hidden text in another form is not found. Examples are a hidden text in the middle of base64 data,
and a hidden text that is encrypted, reversed, or in upper case.
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
"""The text that replaces a hidden text."""
WITHHELD = "(withheld: it may quote a Secret of spec.confFrom, and what the run has from there is not known yet)"
"""The text that replaces a whole text while the operator doesn't know all hidden texts."""
MIN_LENGTH = 4
"""The minimum length, in characters, of a hidden text that is found inside words. A shorter text
(1, eu, dev) occurs in many words by chance, so a shorter text is hidden only as a whole word.
"""
MIN_LINE = 8
"""The minimum length, in characters, of a line that is hidden on its own."""
MAX_FORMS = 5_000
MAX_CHARACTERS = 4 * 1024 * 1024
"""The limits of the number (``MAX_FORMS``) and of the total length (``MAX_CHARACTERS``) of all
encodings of a run's hidden texts. A search for more encodings would delay other MLJobs. If a run
exceeds a limit, all of its texts are withheld.
"""

_CUT = re.compile(r"\.\.\.|…|\Z")
"""The places where a text may have been cut: at an ellipsis, and at the end."""
_CUTS = 8
"""The maximum number of places that are examined because the text may have been cut there. They are
counted from the end of the text.
"""
_CACHE_SIZE = 500
"""The maximum number of redacted texts that are cached. The cache saves time, because each new
status of a run contains the texts of all its tasks again.
"""
_MAX_CACHED_LENGTH = 4000
"""The maximum length of a cached text, in characters."""
_ENCODINGS: tuple[Callable[[str], str], ...] = (
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
    # If the text around a hidden text contains a double quote, repr escapes the single quotes of
    # the hidden text.
    lambda text: repr(f'"{text}')[2:-1],
    lambda text: repr(text.encode("utf-8", "replace"))[2:-1],
    lambda text: quote(text, safe="", errors="replace"),
    lambda text: quote(text, errors="replace"),
    lambda text: quote_plus(text, errors="replace"),
    html.escape,
)


@dataclass(frozen=True)
class Redaction:
    """Replaces the hidden texts of one MLJob by ``***``. A hidden text is a text that came from a
    Secret.

    Attributes:
        hidden: The hidden texts.
        complete: Whether ``hidden`` has all texts that the run has from Secrets.
        exact: Whether a hidden text is found only as a whole. Somebody who can choose words of the
            searched texts, and sees which words are replaced, could otherwise find out a hidden text
            piece by piece.
    """

    hidden: frozenset[str] = frozenset()
    complete: bool = True
    exact: bool = False

    def text(self, text: str) -> str:
        """Return the text with hidden texts replaced by ``***``. If the hidden texts have too many
        encoded forms to search for, return ``WITHHELD``.
        """
        if not self.hidden:
            return text
        if self._forms is None:
            return WITHHELD
        if (redacted := self._cache.get(text)) is not None:
            return redacted
        redacted = _replaced(text, _merged(sorted(self._found(text, *self._forms))))
        if len(text) <= _MAX_CACHED_LENGTH:
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[text] = redacted
        return redacted

    def cut_off(self, text: str) -> str:
        """Return a text that was cut off at its end, with hidden texts replaced by ``***``. The last
        characters are left out, whatever they are, because they may be the beginning of a hidden
        text.
        """
        redacted = self.text(text)
        return redacted[: max(0, len(redacted) - self._forms[0].longest)] if self._forms else redacted

    def untrusted(self, text: str) -> str:
        """Return a text that came from the run, such as an error of a task, with hidden texts
        replaced by ``***``. While ``complete`` is false, return ``WITHHELD``.
        """
        return self.text(text) if self.complete else WITHHELD

    def value(self, value: Any) -> Any:
        """Return a JSON value with hidden texts replaced by ``***``, in keys too. A number that
        equals a hidden text also becomes ``***``.
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
    def _cache(self) -> dict[str, str]:
        return {}

    @cached_property
    def _forms(self) -> tuple[_Forms, re.Pattern[str] | None] | None:
        """The forms of all hidden texts, as a pair of a :class:`_Forms` and a pattern. A form is a
        hidden text or a part of a hidden text, as it is or encoded.

        The ``_Forms`` has the forms of at least ``MIN_LENGTH`` characters, which are found anywhere
        in a text. The pattern matches the shorter forms, which are found only as whole words. The
        pattern is None if there are no shorter forms.

        The value is None instead of a pair if there are more than ``MAX_FORMS`` forms, or if all
        forms together have more than ``MAX_CHARACTERS`` characters.
        """
        forms: set[str] = set()
        size = 0
        for text in self.hidden:
            for form in _forms(text, parts=not self.exact):
                if form not in forms:
                    forms.add(form)
                    size += len(form)
            if len(forms) > MAX_FORMS or size > MAX_CHARACTERS:
                return None
        words = sorted((form for form in forms if len(form) < MIN_LENGTH), key=len, reverse=True)
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)") if words else None
        return _Forms(form for form in forms if len(form) >= MIN_LENGTH), pattern

    def _found(self, text: str, forms: _Forms, words: re.Pattern[str] | None) -> Iterator[tuple[int, int]]:
        """Yield the start and the end of each place in ``text`` where a hidden text occurs, as it is
        or encoded. Unless ``exact`` is true, the first ``MIN_LENGTH`` (4) or more characters of a
        hidden text are such a place too if they stand at the end of ``text`` or before an ellipsis,
        because the hidden text may have been cut off there. Places may overlap.
        """
        begin = forms.begin_in(text)
        for form in begin:
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + len(form))
        if begin and not self.exact:
            for cut in [cut.start() for cut in _CUT.finditer(text)][-_CUTS:]:
                if (start := forms.beginning(text, cut)) is not None:
                    yield start, cut
        if words is not None:
            yield from (found.span() for found in words.finditer(text))


class _Forms:
    """The encoded forms of hidden texts, indexed by their first characters. Thousands of encoded
    forms are searched for in hundreds of texts, and the index keeps this search short.
    """

    def __init__(self, forms: Iterable[str]) -> None:
        self._sorted = sorted(forms)
        self.longest = max(map(len, self._sorted), default=0)
        self._by_start: defaultdict[str, list[str]] = defaultdict(list)
        for form in self._sorted:
            self._by_start[form[:MIN_LENGTH]].append(form)

    def begin_in(self, text: str) -> list[str]:
        starts = {text[at : at + MIN_LENGTH] for at in range(len(text) - MIN_LENGTH + 1)}
        return [form for start in starts & self._by_start.keys() for form in self._by_start[start]]

    def beginning(self, text: str, cut: int) -> int | None:
        """Return the first position in ``text`` from which the characters up to the position
        ``cut`` are the beginning of an encoded hidden text. Return None if no such position is at
        least ``MIN_LENGTH`` characters before ``cut``.
        """
        for at in range(max(0, cut - self.longest), cut - MIN_LENGTH + 1):
            if text[at : at + MIN_LENGTH] in self._by_start and self._is_beginning(text[at:cut]):
                return at
        return None

    def _is_beginning(self, text: str) -> bool:
        index = bisect_left(self._sorted, text)
        return index < len(self._sorted) and self._sorted[index].startswith(text)


NOTHING_HIDDEN = Redaction()
"""The redaction for an MLJob without values from Secrets. It hides nothing."""


def texts(value: Any) -> Iterator[str]:
    """Yield all strings and numbers in a JSON value, as text. The keys of objects are left out,
    because keys are not secret.
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


def _forms(text: str, *, parts: bool = True) -> Iterator[str]:
    """Yield the forms in which the hidden text ``text`` may occur: the hidden text and, if ``parts``
    is true, its parts (:func:`_secret_parts`), each as it is and in each encoding. Base64 is used only for the whole
    hidden text. A hidden text or part of less than ``MIN_LENGTH`` (4) characters is not encoded.
    """
    for whole in {text, text.strip()}:
        if len(whole) >= MIN_LENGTH:
            data = whole.encode("utf-8", "replace")
            yield base64.b64encode(data).decode().rstrip("=")
            yield base64.urlsafe_b64encode(data).decode().rstrip("=")
    for part in {text.strip(), " ".join(text.split()), *(_secret_parts(text) if parts else ())}:
        if len(part) < MIN_LENGTH:
            if re.search(r"\w", part):
                yield part
            continue
        for encoded in {part, *(encode(part) for encode in _ENCODINGS)}:
            # Each text is encoded twice, because an exception may quote an answer in JSON that
            # quotes the value.
            yield from (encoded, json.dumps(encoded)[1:-1], repr(encoded)[1:-1], repr(f'"{encoded}')[2:-1])


def _secret_parts(text: str) -> Iterator[str]:
    """Yield the parts of a hidden text that are secret on their own:

    - each line of at least ``MIN_LINE`` characters, if the text has several lines
    - the password, if the text is a URL
    - all strings and numbers, if the text is a JSON object
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
                yield from _secret_parts(child)


def _password(url: str) -> str | None:
    try:
        return urlsplit(url.strip()).password
    except ValueError:
        return None


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join the spans that touch or overlap. ``spans`` must be sorted."""
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
