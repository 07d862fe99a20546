"""The position of a reader in a log, so that the reader can continue after a lost connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from .errors import ApiError, BadAnswer
from .reader_retries import ReaderRetries
from .retries import MAX_TRIES

READ_TRIES: Final = 2
"""The maximum number of requests for a graph, or for a log that is not followed."""


class LogLine(NamedTuple):
    """A line of a log.

    Attributes:
        text: The line, without its line break.
        after: The position after this line, where another request can continue. Empty if not known.
    """

    text: str
    after: str


class LogPlace:
    """The position of a reader in a log.

    Args:
        params: The query parameters of the first request, without ``follow``.
        follow: Whether new lines of the log are read until the task ends.
        after: The ``LogLine.after`` of the last line that was already read. A followed log
            continues after this line. By default, ``params`` decides where the log begins.

    Raises:
        ValueError: ``after`` is not a position.
    """

    def __init__(self, params: Mapping[str, str], *, follow: bool, after: str = "") -> None:
        from mljob_contract.run_api import LogPosition

        self._params = dict(params)
        self._follow = follow
        self._position = LogPosition.parse(after) if after else None
        self._notice = ""
        self._was_told = False
        self._has_lines = False
        self._retries = ReaderRetries(follow=follow, tries=MAX_TRIES if follow else READ_TRIES)
        self.goes_on = False
        """Whether mljob-api has ended the answer although the log continues, and another request can
        continue without repeating lines.
        """

    def params(self) -> dict[str, str]:
        """Return the query parameters of the next request."""
        self._retries.asked()
        self.goes_on = False
        if not self._follow:
            return self._params
        params = self._params | {"follow": "true", "positions": "true"}
        if self._position is not None:
            params.pop("tail", None)
            params["after"] = str(self._position)
        return params

    def opened(self) -> None:
        """Record that mljob-api has begun to answer. After this call, requests for a followed log
        may fail for :data:`.PATIENCE_SECONDS` before :meth:`wait_after` returns None. Before this
        call, the number of failed requests is limited instead.
        """
        self._retries.opened()

    def take(self, line: bytes) -> LogLine | None:
        """Record a line of an answer, and return the line with the position after the line.

        Return None in these cases:

        - The log is followed, and the line contains only a position.
        - The log is followed, and the line says that the log continues after the end of the answer.
          But return this line too if lines of the log were returned, and the position after these
          lines is not known. Another answer would repeat them, so :attr:`goes_on` stays False, and
          the line is the last one.
        - The line is a message of mljob-api, and repeats the message directly before it.

        Raises:
            BadAnswer: The line contains a position that is not valid.
        """
        from mljob_contract.run_api import LOG_GOES_ON, LOG_NOTICE, LOG_POSITION, LogPosition

        self._retries.received()
        text = line.decode(errors="replace").rstrip("\r")
        if not text.startswith(LOG_NOTICE):
            self._notice = ""
            self._has_lines = True
            if self._position is not None:
                self._position = self._position._replace(line=self._position.line + 1)
            return self._told(text)
        if self._follow and text == LOG_GOES_ON and not (self._has_lines and self._position is None):
            self.goes_on = True
            return None
        if self._follow and text.startswith(LOG_POSITION):
            try:
                self._position = LogPosition.parse(text.removeprefix(LOG_POSITION))
            except ValueError as error:
                raise BadAnswer(f"mljobs/log: {text[:200]!r} {error}.") from None
            return None
        # An answer that continues a log begins with the last notice of the answer before it.
        was_told, self._notice = text == self._notice, text
        return None if was_told else self._told(text)

    def wait_after(self, error: ApiError) -> float | None:
        """Return the seconds to wait between a failed request and the next request. Return None if
        the caller must not send another request, in these cases:

        - :meth:`.ReaderRetries.wait_after` returns None.
        - Lines were returned, but the position after these lines is not known. The next answer
          would repeat or skip lines.
        """
        wait = self._retries.wait_after(error)
        return None if self._was_told and self._position is None else wait

    def _told(self, text: str) -> LogLine:
        self._was_told = True
        return LogLine(text, "" if self._position is None else str(self._position))
