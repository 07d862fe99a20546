"""What credentials may be made of."""

from __future__ import annotations

import re

_VISIBLE = re.compile(r"[\x21-\x7e]+")


def fits_header(token: str) -> bool:
    """Whether a bearer token can be sent in an HTTP header.

    HTTP libraries quote a header that they refuse, so a token that does not fit must not come as far as that.
    Source: RFC 6750, section 2.1, which allows less.
    """
    return _VISIBLE.fullmatch(token) is not None
