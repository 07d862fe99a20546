"""The characters that a terminal or a browser hides or obeys instead of showing them. The JSON and
YAML of ``kubectl mljob`` escapes these characters, and the live view replaces them.

:mod:`.text` is about lines for people instead. It removes hidden characters, and keeps the joiners
that some scripts and emoji need.
"""

from typing import Final

HIDDEN: Final = (
    r"\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff"
)
"""DEL and the control characters after it (C1), invisible characters, characters that turn the
direction of writing (Unicode Technical Report 36), separators of lines and paragraphs, halves of
surrogate pairs, and the tags and variation selectors of plane 14, which can carry an invisible
text. The text is the inside of a set in a regular expression. The first 32 control characters (C0)
are not included, because JSON escapes them itself, and a page keeps tab and line feed.
"""
