"""Which tab of an MLJob's page is open, and which log the page shows. The URL of the page
determines both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

TABS: Final = {
    "tasks": "Tasks",
    "metrics": "Metrics",
    "logs": "Logs",
    "outputs": "Outputs",
    "conf": "Conf",
    "attempts": "Attempts",
    "events": "Events",
}


@dataclass(frozen=True, slots=True)
class View:
    """The tab and the log that the URL of the page asks for.

    Attributes:
        tab: A key of :data:`TABS`.
        task: The id of the task whose log is shown. Empty to let mljob-api choose the task.
        map_index: The index of the instance of a mapped task, or -1 to let mljob-api choose.
        try_number: The number of the try, or 0 for the newest try.
    """

    tab: str = "tasks"
    task: str = ""
    map_index: int = -1
    try_number: int = 0

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> View:
        """Return the tab and the log that the query of a URL asks for. A missing or invalid value
        becomes the default of its attribute.
        """
        tab = query.get("tab", "")
        return cls(
            tab=tab if tab in TABS else "tasks",
            task=query.get("task", "")[:250],
            map_index=_whole(query.get("map", ""), -1),
            try_number=_whole(query.get("try", ""), 0),
        )

    @property
    def log_query(self) -> str:
        """The query that chooses the log, without a question mark. The URL of the log's live stream
        and the URL of the log as a text file have this query.
        """
        return urlencode(_given(task=self.task, map=self.map_index, **{"try": self.try_number}), errors="replace")


def _whole(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else otherwise


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", -1, 0) or (name == "map" and value == 0)}


def tab_query(tab: str, **more: Any) -> str:
    """Return the URL query of the page with the tab ``tab`` open. The query begins with a question
    mark. The optional arguments ``task``, ``map`` and ``try`` choose the log.
    """
    return "?" + urlencode({"tab": tab, **_given(**more)}, errors="replace")
