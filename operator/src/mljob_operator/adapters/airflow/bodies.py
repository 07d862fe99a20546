"""Reads the body of an HTTP response. Limits the number of bytes, the number of JSON values, and
the time for reading.
"""

from __future__ import annotations

import time

import urllib3

from ...errors import AirflowUnavailable, AirflowUnreadable

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""The maximum number of bytes of one page of a list. Even a page of a hundred runs, each with the
largest conf that an MLJob may have, stays below this limit."""
MAX_OBJECT_BYTES = 4 * 1024 * 1024
"""The maximum number of bytes of a single object: a run with its conf, a DAG with its params and
documentation."""
MAX_ERROR_BYTES = 64 * 1024
"""The maximum number of bytes that are read of the body of an error."""
BYTES_A_VALUE = 10
"""An answer may hold one JSON value for every 10 bytes of its size limit. Many small values
(``[],``) take thirty times their bytes in memory, and parsing them would block the operator for
minutes."""
FEW_VALUES = 1_000
"""The number of JSON values that every answer may hold, even if the size limit of the answer is
small.
"""
MANY_VALUES = 1_000_000
"""The maximum number of JSON values of an answer, even if the size limit of the answer is large."""
MAX_BODY_SECONDS = 60.0
"""The longest time in seconds for reading the body of an answer."""
CHUNK = 64 * 1024


class TooLarge(AirflowUnreadable):
    """The error for an answer with too many bytes, or with too many JSON values."""


def read_body(response: urllib3.BaseHTTPResponse, max_bytes: int, url: str) -> bytes:
    """Read the body of an answer. If the status is not 2xx, the body is cut to ``MAX_ERROR_BYTES``.

    Args:
        response: The response, with its body unread.
        max_bytes: The maximum number of bytes of a successful answer.
        url: The request's URL, for error messages.

    Raises:
        TooLarge: The successful answer has more than ``max_bytes`` bytes, or too many JSON values.
            The limit of values is ``max_bytes / BYTES_A_VALUE``, but at least ``FEW_VALUES`` and at
            most ``MANY_VALUES``.
        AirflowUnavailable: The body did not end within ``MAX_BODY_SECONDS``.
        urllib3.exceptions.HTTPError: The connection broke.
    """
    succeeded = 200 <= response.status < 300
    body, whole = _at_most(response, max_bytes if succeeded else MAX_ERROR_BYTES, url)
    if succeeded and not whole:
        raise TooLarge(f"{url} answered with more than {max_bytes} bytes.", outcome_unknown=True)
    if succeeded and _values(body) > (values := min(max(max_bytes // BYTES_A_VALUE, FEW_VALUES), MANY_VALUES)):
        raise TooLarge(f"{url} answered with more than {values} values.", outcome_unknown=True)
    return body


def _at_most(response: urllib3.BaseHTTPResponse, max_bytes: int, url: str) -> tuple[bytes, bool]:
    """Read at most ``max_bytes`` bytes of a body. Return the bytes, and whether the body was
    complete. The bytes are empty if a successful answer announces more than ``max_bytes`` bytes in
    its Content-Length.
    """
    declared = response.headers.get("content-length", "")
    if response.status < 300 and declared.isdecimal() and int(declared) > max_bytes:
        response.close()
        return b"", False
    chunks: list[bytes] = []
    size, late = 0, time.monotonic() + MAX_BODY_SECONDS
    while chunk := response.read1(CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            response.close()
            return b"".join(chunks)[:max_bytes], False
        if time.monotonic() > late:
            response.close()
            raise AirflowUnavailable(
                f"{url} had not sent its whole answer after {MAX_BODY_SECONDS:.0f} s.", outcome_unknown=True
            )
    return b"".join(chunks), True


def _values(body: bytes) -> int:
    """Estimate the number of JSON values in a body, without parsing the body."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")
