"""The operator splits the log of a task into entries."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mljob_operator.adapters.airflow.log_document import MAX_ENTRY, MAX_FRAME, LogDocument, NotALog

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


def split(text: bytes, size: int) -> tuple[list[Any], str | None]:
    document = LogDocument()
    values = [entry.value for at in range(0, len(text), size) for entry in document.feed(text[at : at + size])]
    return values, document.token()


@settings(deadline=None)
@given(
    content=st.lists(st.dictionaries(st.text(), JSON, min_size=1, max_size=4) | st.text(min_size=1), max_size=5),
    token=st.none() | st.text(max_size=20),
    size=st.integers(1, 40),
    first=st.booleans(),
)
def test_entries_and_token_are_those_of_the_json(
    content: list[Any], token: str | None, size: int, *, first: bool
) -> None:
    fields = (
        {"continuation_token": token, "content": content}
        if first
        else {"content": content, "continuation_token": token}
    )
    assert split(json.dumps(fields).encode(), size) == (content, token)


def test_an_entry_above_the_limit_is_cut_and_the_log_goes_on() -> None:
    giant = {"timestamp": "2026-01-01T00:00:00Z", "event": "x" * (3 * MAX_ENTRY)}
    document = LogDocument()
    text = json.dumps({"content": [{"event": "a"}, giant, {"event": "b"}], "continuation_token": None}).encode()
    entries = [entry for at in range(0, len(text), 65536) for entry in document.feed(text[at : at + 65536])]
    assert [entry.value["event"][:1] for entry in entries] == ["a", "x", "b"]
    assert [entry.is_whole for entry in entries] == [True, False, True]
    assert len(entries[1].value["event"]) <= MAX_ENTRY
    assert entries[1].size > 3 * MAX_ENTRY


def test_an_entry_of_many_values_stays_a_text() -> None:
    text = b'{"content":[{"a":[' + b"[]," * 100_000 + b'[]]}],"continuation_token":null}'
    document = LogDocument()
    (entry,) = document.feed(text)
    assert isinstance(entry.value, str)
    assert document.token() is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b'{"content":[{"event":"a"}', id="cut off"),
        pytest.param(b'{"content":[', id="cut off in the list"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'{"detail":"x"}', id="no content"),
        pytest.param(b'{"content":[],"continuation_token":7}', id="a token that is no text"),
        pytest.param(b'{"content":[],"x":"' + b"x" * MAX_FRAME + b'"}', id="too much around the entries"),
        pytest.param(b"]" * 100, id="closes what was not opened"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_is_no_log_is_refused(text: bytes) -> None:
    with pytest.raises(NotALog):
        split(text, 7)
