"""Lets Python's ``json`` read every object that the Kubernetes API server stores, however deeply
the object is nested.

The API server accepts objects with up to 10,000 nested levels (the limit of Go's
``encoding/json``). Python's ``json`` recurses once per level. With Python's default limits, one
such object would make the whole list of MLJobs unreadable.

Up to Python 3.11, Python's recursion limit also counts calls of C code. Since Python 3.12, C code
has a fixed limit: 1,497 levels in Python 3.12.1, and 9,998 in 3.13. ``json`` has a second
implementation in Python, to which the recursion limit applies. The Python code is slower, so it is
used only for values that are too deep for the C code.

Source: Python's documentation, "What's New In Python 3.12", ``sys.setrecursionlimit``.
"""

from __future__ import annotations

import json
import json.scanner
import sys
from collections.abc import Callable
from typing import Any

RECURSION_LIMIT = 11_000
"""Python's recursion limit up to Python 3.11. A main thread's stack of 8 MiB has room for 25,000
levels of C code.
"""
RECURSION_LIMIT_OF_PYTHON_CODE = 45_000
"""Python's recursion limit since Python 3.12. The scanner and the encoder in Python need up to four
calls per level, which take memory from the heap.
"""


def allow_deep_json() -> None:
    """Make ``json.loads`` and ``json.dumps`` accept values with up to 10,000 levels in this
    process.

    The function raises Python's recursion limit. On Python 3.12 and later, the function also
    replaces private objects of the module ``json``. Calls with options, such as ``sort_keys=True``,
    don't use these objects, so such calls may still fail for deep values.
    """
    if sys.version_info < (3, 12):
        sys.setrecursionlimit(RECURSION_LIMIT)
        return
    sys.setrecursionlimit(RECURSION_LIMIT_OF_PYTHON_CODE)
    # json.loads and json.dumps without options use these two objects, which are private.
    module: Any = json
    scanner: Any = json.scanner
    decoder = module._default_decoder
    decoder.scan_once = _with_fallback(decoder.scan_once, scanner.py_make_scanner(decoder))
    module._default_encoder = _DeepEncoder()


def _with_fallback(fast: Callable[..., Any], deep: Callable[..., Any]) -> Callable[..., Any]:
    def scan_once(text: str, index: int) -> Any:
        try:
            return fast(text, index)
        except RecursionError:
            return deep(text, index)

    return scan_once


class _DeepEncoder(json.JSONEncoder):
    def encode(self, o: Any) -> str:
        try:
            return super().encode(o)
        except RecursionError:
            return "".join(self.iterencode(o))
