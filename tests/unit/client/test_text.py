"""No text of an MLJob or a log can move the cursor, hide other text, or fill a terminal."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mljob.text import cell_width, clean_line, plain, value_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed", ""),
        ("\x9b31mred", "red"),
        ("\x1bPq#0\x1b\\dcs", "dcs"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("abc\u202egnp.exe", "abcgnp.exe"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("👩\u200d🔬 क्\u200cष", "👩\u200d🔬 क्\u200cष"),
        ("Z" + "\u0301" * 100 + "algo", "Z" + "\u0301" * 4 + "algo"),
        ("\ud800", ""),
    ],
)
def test_line_is_harmless(text: str, expected: str) -> None:
    assert clean_line(text) == expected


def test_text_becomes_one_line_of_bounded_length() -> None:
    assert plain("a\r\nb\tc\u2028d") == "a b c d"
    assert plain("x" * 100, 10) == "x" * 9 + "…"
    assert plain("x" * 10, 10) == "x" * 10
    assert plain("\x1b[31m" * 1_000_000, 10) == "…", "the rest was not read"


def test_text_that_was_cut_among_invisible_characters_ends_in_an_ellipsis() -> None:
    assert plain("a" + "\u200b" * 100 + "b", 10) == "a…"
    assert plain("a" + "\u200b" * 10 + "b", 10) == "ab"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ""),
        (0.123456789, "0.123457"),
        (True, "true"),
        ("a\nb", "a b"),
        ([1, "x"], '[1, "x"]'),
        ({"b": 1}, '{"b": 1}'),
    ],
)
def test_value_is_shown_as_json_and_floats_with_six_digits(value: Any, expected: str) -> None:
    assert value_text(value, 60) == expected


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("abc", 3), ("日本語", 6), ("한글", 4), ("é", 1), ("e\u0301", 1), ("\uff41", 2), ("🎉", 2)],
)
def test_width_of_a_text_is_its_columns_on_a_terminal(text: str, width: int) -> None:
    assert cell_width(text) == width == cell_len(text)


def test_value_that_is_nested_deeply_is_shown_too() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]

    assert value_text(deep, 60) == "(nested too deeply)"


@given(st.text(), st.integers(1, 50))
def test_any_text_is_harmless_and_short(text: str, limit: int) -> None:
    found = plain(text, limit)

    assert len(found) <= limit
    assert not [char for char in found if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")]
    assert plain(found) == found or "\u200c" in found or "\u200d" in found
