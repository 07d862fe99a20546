from __future__ import annotations

import pytest

from mljob.cli.objects import text_of
from mljob.cli.options import Format
from mljob.view.pages.outside_text import clean, is_web_link

BEYOND_ASCII = "".join(map(chr, range(0x7F, 0x110000)))


def test_command_line_escapes_and_view_replaces_the_same_characters() -> None:
    escaped = set(BEYOND_ASCII) - set(text_of(BEYOND_ASCII, Format.JSON))
    assert set(BEYOND_ASCII) - set(clean(BEYOND_ASCII)) == escaped


@pytest.mark.parametrize("character", "\u00ad\u200b\u202e\u2066\ufeff\U000e0041\U000e0100")
def test_hidden_character_is_shown_as_such(character: str) -> None:
    assert clean(f"a{character}b") == "a\ufffdb"
    assert text_of(character, Format.JSON).isascii()
    assert text_of(character, Format.YAML).isascii()
    assert not is_web_link(f"https://a{character}b")
