"""The API group ``run.mljob.dev/v1alpha1``. From this group, clients read the log of an MLJob's
run, the run's history of events, and the run's graph.

The Kubernetes API server proxies requests for this group to mljob-api, the aggregated API server
(docs/adr/0032-aggregated-api.md). The path of a request contains the namespace and the name of the
MLJob.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple
from urllib.parse import quote

RUN_GROUP: Final = "run.mljob.dev"
"""The API group."""
RUN_VERSION: Final = "v1alpha1"
"""The version of the API group."""
RUN_API_VERSION: Final = f"{RUN_GROUP}/{RUN_VERSION}"
"""The value of ``apiVersion`` in responses."""


class RunSubresource(StrEnum):
    """A subresource of an MLJob in the group ``run.mljob.dev``. Clients read each subresource with
    the verb ``get``. They can also watch the subresource ``events``.
    """

    LOG = "log"
    """The log of a task, as plain text. Parameters: ``task``, ``mapIndex``, ``try``, ``attempt``,
    ``tail``, ``follow``, ``positions`` and ``after``."""
    EVENTS = "events"
    """The history of the run, as JSON lines (:mod:`mljob_contract.history`). Parameters:
    ``attempt``, ``after`` and ``follow``."""
    GRAPH = "graph"
    """The tasks of the run and their edges, as JSON (:mod:`mljob_contract.graph`). Parameter:
    ``attempt``."""


LOG_NOTICE: Final = "### mljob-api: "
"""The beginning of a line that mljob-api itself has written into a log, such as the reason why the
log ends. If a line of a task begins with this text, mljob-api writes a space before the line.
"""
LOG_GOES_ON: Final = f"{LOG_NOTICE}The log has been followed for as long as mljob-api does. Ask again to go on."
"""The last line of a response if the log was followed and has not ended: the maximum time is over,
or mljob-api can't read the log for the moment. In the second case, the line before has the cause.
"""
LOG_POSITION: Final = f"{LOG_NOTICE}position "
"""The beginning of a line with the :class:`LogPosition` of the next line. Responses to requests
with ``positions=true`` have such a line before the first line of a log, and before each line that
does not directly follow the previous line of the log.
"""
_LOG_POSITION = re.compile(r"([0-9]{1,10})/([\w.-]{1,250})/(-1|[0-9]{1,10})/([0-9]{1,10})/([0-9]{1,15})")


class LogPosition(NamedTuple):
    """The position of a line in the logs of a run. A later request begins at this line if its
    parameter ``after`` is the position.

    Attributes:
        attempt: The number of the MLJob's attempt.
        task_id: The id of the task.
        map_index: The index of the instance of a mapped task, or -1 for a task that is not mapped.
        try_number: The number of the task instance's try.
        line: How many lines of this try's log come before the position.
    """

    attempt: int
    task_id: str
    map_index: int
    try_number: int
    line: int

    def __str__(self) -> str:
        """Return the position as text, which :meth:`parse` reads."""
        return "/".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> LogPosition:
        """Convert a text to a position. The text must have the form that :meth:`__str__` returns.

        Raises:
            ValueError: The text is not a position.
        """
        found = _LOG_POSITION.fullmatch(text)
        if found is None:
            raise ValueError("is no position in a log")
        attempt, task_id, *numbers = found.groups()
        return cls(int(attempt), task_id, *map(int, numbers))


def run_path(namespace: str, name: str, subresource: RunSubresource, *, watch: bool = False) -> str:
    """Return the path of a subresource at the Kubernetes API server, without query parameters.

    Args:
        namespace: The namespace of the MLJob.
        name: The name of the MLJob.
        subresource: The subresource.
        watch: Whether the request is a watch. The response to a watch also contains later events,
            until the run has ended. Only ``events`` can be watched. To follow a log, use the query
            parameter ``follow`` instead.
    """
    prefix = "watch/" if watch else ""
    of_job = f"namespaces/{quote(namespace, safe='')}/mljobs/{quote(name, safe='')}"
    return f"/apis/{RUN_API_VERSION}/{prefix}{of_job}/{subresource}"
