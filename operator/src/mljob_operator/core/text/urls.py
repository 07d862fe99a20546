"""Encodes texts as parts of URLs."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote


@lru_cache(maxsize=1024)  # each status of a run has the same ids
def path_segment(text: str) -> str:
    """Percent-encode a text for use as one segment of a URL's path (RFC 3986, section 3.3)."""
    return quote(text, safe="")
