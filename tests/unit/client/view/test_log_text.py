from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob.view.pages.log_text import MAX_LINE, MAX_PARTS, AnsiStyle, Part, _trimmed, parts_of
from mljob.view.pages.outside_text import is_web_link


def parts(*lines: str) -> list[tuple[Part, ...]]:
    style = AnsiStyle()
    return [parts_of(line, style) for line in lines]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain", [Part("plain")]),
        ("", []),
        ("\x1b[31mred\x1b[0m not", [Part("red", "ansi-red"), Part(" not")]),
        ("\x1b[1;32mok", [Part("ok", "ansi-bold ansi-green")]),
        ("\x1b[38;5;196mx\x1b[38;2;1;2;3my\x1b[4mz", [Part("x"), Part("y"), Part("z", "ansi-underline")]),
        ("\x1b[1mbold\x1b[22mnot\x1b[91mbright", [Part("bold", "ansi-bold"), Part("not"), Part("bright", "ansi-red")]),
        ("\x1b]8;;http://evil\x07text\x1b]8;;\x07", [Part("text")]),
        ("\x1b[2J\x1b[1;1Hgone", [Part("gone")]),
        (
            "see https://example.com/a_(b), or",
            [Part("see "), Part("https://example.com/a_(b)", "", "https://example.com/a_(b)"), Part(", or")],
        ),
        ("javascript:alert(1) data:text/html,x", [Part("javascript:alert(1) data:text/html,x")]),
        ("<script>alert(1)</script>", [Part("<script>alert(1)</script>")]),
    ],
)
def test_line_is_split_into_parts(line: str, expected: list[Part]) -> None:
    assert list(parts(line)[0]) == expected


def test_colour_goes_on_in_the_next_line() -> None:
    assert parts("\x1b[33mwarning", "goes on", "\x1b[0mover")[1:] == [
        (Part("goes on", "ansi-yellow"),),
        (Part("over"),),
    ]


def test_long_line_is_cut() -> None:
    (found,) = parts("x" * 1_000_000)

    assert sum(len(part.text) for part in found) == MAX_LINE


@given(st.text(alphabet=st.sampled_from("\x1b[]0123456789;mhtps:/.x ()<>\"'\x07\u202e"), max_size=200))
def test_any_line_has_only_known_classes_and_links_of_the_web(line: str) -> None:
    for part in parts(line)[0]:
        assert all(name.startswith("ansi-") for name in part.classes.split())
        assert part.link in ("", part.text)
        assert not part.link or is_web_link(part.link)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "//example.com",
        "https://",
        "https://a b",
        'https://a"b',
        "ftp://a",
        *(f"https://a{character}b" for character in "\x00\x7f\x85\u200b\u202e\ufeff\ud800"),
    ],
)
def test_other_addresses_are_no_links(url: str) -> None:
    assert not is_web_link(url)


@pytest.mark.parametrize("line", ["\x1b[31mx\x1b[32my" * 300, "http://a " * 440, "\x1b[1mx\x1b[0m" * 400])
def test_line_has_a_bounded_number_of_parts_and_keeps_its_text(line: str) -> None:
    style = AnsiStyle()

    parts = parts_of(line, style)

    assert len(parts) == MAX_PARTS
    assert "".join(part.text for part in parts) == re.sub(r"\x1b\[\d+m", "", line)
    assert (parts[-1].classes, parts[-1].link) == ("", "")
    assert style.classes == ("ansi-green" if "32m" in line else ""), "the next line goes on in the last colour"


def test_brackets_at_the_end_of_a_link_take_linear_time() -> None:
    # In quadratic time, this many brackets would take hours.
    assert _trimmed("http://a" + ")" * 2_000_000) == "http://a"
