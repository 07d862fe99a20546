"""Reads and checks the path and the parameters of a request."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aiohttp import web

from mljob_contract.airflow_id import MAX_ID_LENGTH
from mljob_contract.events import MAX_INT
from mljob_contract.run_api import LogPosition
from mljob_contract.run_id import MAX_NAME_LENGTH

from ..core.text.spelling import meant
from . import events
from .errors import Refusal
from .events import EventsRequest, parse_cursor
from .log import MAX_TAIL, LogRequest

MAX_QUERY = 4096
"""The maximum number of characters of the parameters."""
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_TASK = re.compile(rf"[\w.-]{{1,{MAX_ID_LENGTH}}}")
_IGNORED = {"timeout", "pretty"}
"""Parameters that every request to the Kubernetes API may have. mljob-api ignores these parameters.
"""


def job_of(request: web.Request) -> tuple[str, str]:
    """Return the namespace and the name of the MLJob in the request's path.

    Raises:
        Refusal: The namespace or the name is not valid.
    """
    namespace, name = request.match_info["namespace"], request.match_info["name"]
    if not _NAMESPACE.fullmatch(namespace) or not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise Refusal(404, "There is no MLJob with this namespace and name: they are not valid.")
    return namespace, name


class Parameters:
    """Reads and checks the parameters of a request.

    Args:
        request: The request.
        known: The names of the allowed parameters. ``timeout`` and ``pretty`` are always allowed
            and ignored.

    Raises:
        Refusal: A parameter is not allowed or occurs twice, or the query string is longer than
            ``MAX_QUERY`` characters.
    """

    def __init__(self, request: web.Request, *known: str) -> None:
        query = request.rel_url.query
        if len(request.rel_url.raw_query_string) > MAX_QUERY:
            raise Refusal(400, f"The parameters have more than {MAX_QUERY} characters.")
        self._values: Mapping[str, str] = {name: value for name, value in query.items() if name not in _IGNORED}
        for name in self._values:
            if name not in known:
                raise Refusal(
                    400, f"{name[:60]}: is no parameter here{meant(name, known)}. Known are {', '.join(sorted(known))}."
                )
            if len(query.getall(name)) > 1:
                raise Refusal(400, f"{name}: occurs twice. Give it once.")

    def number(self, name: str, least: int, most: int) -> int | None:
        """Return a parameter as a whole number, or None if the parameter is absent.

        Raises:
            Refusal: The value is not a whole number from ``least`` to ``most``.
        """
        text = self._values.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise Refusal(400, f"{name}: {text[:20]!r} is not a whole number from {least} to {most}.")
        return int(text)

    def flag(self, name: str) -> bool:
        """Return a parameter as a boolean. An absent parameter is false, and an empty value is
        true.

        Raises:
            Refusal: The value is not empty, and is none of true, 1, false and 0. Upper case is
                allowed.
        """
        text = self._values.get(name, "false").lower()
        if text not in ("true", "1", "", "false", "0"):
            raise Refusal(400, f"{name}: {text[:20]!r} is neither true nor false.")
        return text in ("true", "1", "")

    def text(self, name: str) -> str | None:
        """Return a parameter as text, or None if the parameter is absent."""
        return self._values.get(name)

    @property
    def attempt(self) -> int | None:
        """The value of the parameter ``attempt``, or None if the parameter is absent. None stands
        for the newest attempt.

        Raises:
            Refusal: The value is not a whole number from 1 to ``MAX_INT``.
        """
        return self.number("attempt", 1, MAX_INT)


def log_request(parameters: Parameters) -> LogRequest:
    """Convert the parameters to a :class:`.LogRequest`.

    Raises:
        Refusal: A parameter is not valid, contradicts another parameter, or needs another parameter
            that is absent.
    """
    task = parameters.text("task")
    if task is not None and not _TASK.fullmatch(task):
        raise Refusal(400, "task: is no id of a task. An id has letters, digits, '_', '-' and '.'.")
    map_index = parameters.number("mapIndex", -1, MAX_INT)
    if map_index is not None and task is None:
        raise Refusal(400, "mapIndex: needs the parameter task as well.")
    number = parameters.number("try", 1, MAX_INT)
    if number is not None and task is None:
        raise Refusal(400, "try: needs the parameter task as well.")
    tail, after = parameters.number("tail", 0, MAX_TAIL), _after(parameters)
    if after is not None:
        if tail is not None:
            raise Refusal(400, "after: can't be given together with tail.")
        given = (
            ("task", task, after.task_id),
            ("mapIndex", map_index, after.map_index),
            ("try", number, after.try_number),
        )
        for name, value, of_position in given:
            if value not in (None, of_position):
                raise Refusal(400, f"after: is a position where {name} is {of_position}, and {name} is {value}.")
    return LogRequest(
        task, map_index, number, tail, parameters.flag("follow"), positions=parameters.flag("positions"), after=after
    )


def _after(parameters: Parameters) -> LogPosition | None:
    text = parameters.text("after")
    if not text:
        return None
    try:
        after = LogPosition.parse(text)
        if max(after.attempt, after.map_index, after.try_number) > MAX_INT or not after.attempt or not after.try_number:
            raise ValueError("is no position in a log")
    except ValueError as error:
        raise Refusal(
            400, f"after: {error}. Take a position from an answer to a request with positions=true."
        ) from None
    if parameters.attempt not in (None, after.attempt):
        raise Refusal(400, f"after: is a position in attempt {after.attempt}, and attempt is {parameters.attempt}.")
    return after


def events_request(parameters: Parameters, *, watch_seconds: float | None) -> EventsRequest:
    """Convert the parameters to an :class:`.EventsRequest`.

    Args:
        parameters: The parameters of the request.
        watch_seconds: The maximum duration of a watch, in seconds. None if the request is not a
            watch.

    Raises:
        Refusal: A parameter is not valid.
    """
    after = parameters.text("after")
    cursor = parse_cursor(after) if after else None
    if watch_seconds is None:
        return EventsRequest(cursor, parameters.flag("follow"), events.GET_SECONDS)
    return EventsRequest(cursor, follow=True, seconds=watch_seconds)
