"""The list of MLJobs that ``list --watch`` shows."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from ..changes import Change, ChangeKind, Outages
from ..render.rows import Row, row_of
from ..resource import MLJob
from .live import look_of, now
from .pages import change_line, list_lines
from .screen import Line, Piece, Screen

_ENDED = ("Succeeded", "Cancelled")
"""The phases of MLJobs that are left out first if the screen is too small."""
_OTHER_ROWS = 4
"""The number of rows of a page that don't show an MLJob."""
_NAME_WIDTH = 30


class LiveList:
    """A list of MLJobs that changes when an MLJob changes.

    Args:
        screen: The output that shows the list.
        with_namespace: Whether the namespace is shown.
        is_filtered: Whether a selector chooses the MLJobs. The API server reports an MLJob that no
            longer matches a selector like a deleted MLJob.
    """

    def __init__(self, screen: Screen, *, with_namespace: bool, is_filtered: bool = False) -> None:
        self._screen = screen
        self._look = look_of(screen)
        self._with_namespace = with_namespace
        self._gone = "deleted, or no longer matches" if is_filtered else "deleted"
        self._known: dict[tuple[str, str], MLJob] = {}
        self._told: dict[tuple[str, str], tuple[str, ...]] = {}
        self._outages = Outages()
        self._has_new_outage = False
        self._begun = monotonic()

    def take(self, change: Change[MLJob]) -> None:
        """Update the list after an MLJob has changed, or the connection was lost or restored."""
        self._has_new_outage = self._outages.take(change) and self._outages.current is not None
        job = change.item
        if job is not None:
            key = job.namespace, job.name
            if change.kind is ChangeKind.DELETED:
                self._known.pop(key, None)
            else:
                self._known[key] = job

    def page(self) -> list[Line]:
        """Return the lines of the list that fit on the screen. A thread may call this method while
        another thread calls :meth:`take`.
        """
        known = list(self._known.values())
        rows = self._fitting(known)
        more = f"and {len(known) - len(rows)} more" if len(rows) < len(known) else ""
        outage = self._outages.current
        said = [more, str(outage) if outage else "" if known else "There are no such MLJobs yet."]
        namespace, width = self._with_namespace, self._screen.width
        listed = list_lines(rows, self._look, with_namespace=namespace, width=width) if rows else []
        return [*listed, *([Piece(text)] for text in said if text)]

    def _fitting(self, known: list[MLJob]) -> list[Row]:
        """Return the rows that fit on the screen. MLJobs that succeeded or were cancelled are left
        out first, then MLJobs from the top of the list.
        """
        at, room = now(), max(self._screen.height - _OTHER_ROWS, 1)
        chosen: dict[int, Row] = {}
        inorder = ordered(known)
        for index in sorted(range(len(inorder)), key=lambda place: (inorder[place].phase in _ENDED, -place)):
            row = row_of(inorder[index], at)
            room -= 2 if row.message else 1
            if room < 0:
                break
            chosen[index] = row
        return [chosen[index] for index in sorted(chosen)]

    def lines_about(self, change: Change[MLJob]) -> Iterable[Line]:
        """Yield the line to print for a change. Yield nothing if the connection was restored or is
        still lost, or if the last line about the same MLJob had the same text, apart from the time.
        Call :meth:`take` with the change first.
        """
        job = change.item
        if job is None:
            if self._has_new_outage:
                yield [Piece(str(self._outages.current))]
            return
        said, line = change_line(job, self._look, now(), monotonic() - self._begun)
        key = job.namespace, job.name
        name = f"{job.namespace}/{said[0]}" if self._with_namespace else said[0]
        if change.kind is ChangeKind.DELETED:
            self._told.pop(key, None)
            yield [Piece(f"{name:<{_NAME_WIDTH}} "), *line[:1], Piece(self._gone)]
        elif self._told.get(key) != said:
            self._told[key] = said
            yield [Piece(f"{name:<{_NAME_WIDTH}} "), *line]


def ordered(jobs: list[MLJob]) -> list[MLJob]:
    """Sort MLJobs by namespace. Within a namespace, the newest MLJobs come last, because a terminal
    shows the end of a long list.
    """
    return sorted(jobs, key=lambda job: (job.namespace, str(job.created_at or ""), job.name))
