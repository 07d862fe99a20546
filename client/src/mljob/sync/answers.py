# Generated from mljob.aio by client/generate.py.
"""Reads the answers of the Kubernetes API server, with a limit on size and duration. A stream has
no such limit, but each line of a stream has a limit on its size.
"""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from ..errors import ApiError, BadAnswer, Unavailable, from_status
from ..json_text import parse_json
from ..retries import retry_after_of
from . import runtime

if TYPE_CHECKING:
    import httpx2

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""The maximum size of an answer that is not a stream. 500 MLJobs of 32 KiB each fit, or ten objects
of the largest size that etcd stores by default (1.5 MiB).
"""
MAX_ERROR_BYTES: Final = 64 * 1024
"""The maximum number of bytes that are read from the body of an error response."""
ANSWER_SECONDS: Final = 120.0
"""The maximum duration of an answer that is not a stream, in seconds."""


class TooLarge(BadAnswer):
    """An answer has more than :data:`MAX_ANSWER_BYTES` bytes."""


def refusal_of(response: httpx2.Response, asked: str) -> ApiError:
    """Return the error for an answer with an error status.

    Args:
        response: The answer.
        asked: The request, such as ``GET /apis``. The error names the request if the answer has no
            message.

    Raises:
        Unavailable: The answer takes longer than :data:`ANSWER_SECONDS`.
    """
    content = _read_some(response, MAX_ERROR_BYTES, asked)
    try:
        body = parse_json(content)
    except ValueError:
        body = content.decode(errors="replace")
    return from_status(response.status_code, body, asked=asked, retry_after=retry_after_of(response.headers))


def _read_some(response: httpx2.Response, limit: int, asked: str) -> bytes:
    """Return an answer, cut to ``limit`` + 1 bytes. If the result has more than ``limit`` bytes,
    the answer is too large.

    Raises:
        Unavailable: The answer takes longer than :data:`ANSWER_SECONDS`. The error names the
            request ``asked``.
    """
    content = bytearray()
    ends_at = monotonic() + ANSWER_SECONDS
    with runtime.closing(response.iter_bytes()) as chunks:
        for chunk in chunks:
            content += chunk
            if len(content) > limit:
                break
            if monotonic() > ends_at:
                raise Unavailable(
                    f"{asked}: the API server has not ended its answer within {ANSWER_SECONDS:g} seconds. Check the "
                    "network and the proxy."
                )
    return bytes(content[: limit + 1])


def object_of(response: httpx2.Response, path: str) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        TooLarge: The answer has more than :data:`MAX_ANSWER_BYTES` bytes.
        BadAnswer: The answer is not a JSON object.
        Unavailable: The answer takes longer than :data:`ANSWER_SECONDS`.
    """
    content = _read_some(response, MAX_ANSWER_BYTES, path)
    if len(content) > MAX_ANSWER_BYTES:
        raise TooLarge(
            f"{path}: the answer has more than {MAX_ANSWER_BYTES} bytes. Ask for less, for example by a selector."
        )
    try:
        answer = parse_json(content)
    except ValueError:
        raise BadAnswer(f"{path}: the answer is not JSON. Check that the context's server is an API server.") from None
    if not isinstance(answer, dict):
        raise BadAnswer(f"{path}: the answer is not a JSON object.")
    return answer


def lines_of(response: httpx2.Response, limit: int, path: str) -> Generator[bytes, None]:
    """Yield the lines of an answer, without line breaks.

    Raises:
        BadAnswer: A line has more than ``limit`` bytes.
    """
    rest = bytearray()
    with runtime.closing(response.iter_bytes()) as chunks:
        for chunk in chunks:
            searched = len(rest)
            rest += chunk
            while 0 <= (end := rest.find(b"\n", searched)) <= limit:
                line, searched = bytes(rest[:end]), 0
                del rest[: end + 1]
                yield line
            if len(rest) > limit:
                raise BadAnswer(f"{path}: a line has more than {limit} bytes.")
    if rest:
        yield bytes(rest)
