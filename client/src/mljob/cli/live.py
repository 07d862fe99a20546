"""Shows MLJobs live: on a terminal as a page that is drawn again and again, in a file or a pipe as
a line for each change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

import typer

from ..changes import Outage
from ..resource import MLJob
from .pages import Look, change_line, job_lines
from .screen import MIN_WIDTH, Line, Piece, Screen, as_text

if TYPE_CHECKING:
    from rich.text import Text

    from ..sync.job import Job

FRAMES_PER_SECOND = 4
_OTHER_ROWS = 6
"""The number of rows of a page that don't show a task."""


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def rows_of(screen: Screen) -> int:
    """Return the maximum number of lines of a page. The last row of the terminal stays empty."""
    return screen.height - 1


def look_of(screen: Screen) -> Look:
    """Return the :class:`.Look` with the icons and bars that a screen can show."""
    return Look(screen.sign, screen.is_terminal, screen.has_unicode)


@contextmanager
def drawn(screen: Screen, lines: Callable[[], list[Line]]) -> Iterator[None]:
    """Draw a page again and again during the ``with`` block. ``lines`` returns the current lines of
    the page. Each line is cut at the width of the terminal. The last page stays on the screen.
    """
    from rich.live import Live
    from rich.text import Text

    def page() -> Text:
        # A join takes no_wrap and overflow from the separator.
        between = Text("\n", no_wrap=True, overflow="ellipsis")
        return between.join(as_text(line) for line in lines()[: rows_of(screen)])

    with Live(get_renderable=page, console=screen.console(), refresh_per_second=FRAMES_PER_SECOND, transient=False):
        yield


def follow(job: Job, screen: Screen, timeout: float | None) -> MLJob:
    """Show an MLJob until the MLJob has ended or is stalled. Return the last :class:`.MLJob` that
    was read. A stalled MLJob can't continue until somebody changes its spec, its DAG or its rights.
    While the connection is lost, the page says so. In a file or a pipe, an outage is a line on
    standard error.

    Raises:
        JobDeleted: The MLJob was deleted before it ended.
        JobTimeout: The MLJob did not end within ``timeout`` seconds, and continues.
    """
    if not screen.is_terminal:
        return _printed(job, screen, timeout)
    page = JobPage(job.state, screen)
    with drawn(screen, page.lines):
        for state in job.stream(timeout, on_outage=page.set_outage):
            page.state = state
    return page.state


class JobPage:
    """The live page about one MLJob.

    Attributes:
        state: The state of the MLJob that the page shows.
    """

    def __init__(self, state: MLJob, screen: Screen) -> None:
        self.state = state
        self._screen = screen
        self._look = look_of(screen)
        self._outage: Outage | None = None

    def set_outage(self, outage: Outage | None) -> None:
        """Show since when the connection is lost. For None, show no outage."""
        self._outage = outage

    def lines(self) -> list[Line]:
        """Return the lines of the page that fit on the screen. A thread may call this method while
        another thread changes the page.
        """
        outage = self._outage
        screen = self._screen
        shown = job_lines(self.state, self._look, now(), screen.height - _OTHER_ROWS, screen.width or MIN_WIDTH)
        if outage is None:
            return shown
        return [*shown[: rows_of(self._screen) - 1], [Piece(str(outage))]]


def tell_outage(outage: Outage | None) -> None:
    """Print an outage that begins to standard error. Print nothing for None."""
    if outage is not None:
        typer.echo(str(outage), err=True)


def _printed(job: Job, screen: Screen, timeout: float | None) -> MLJob:
    look, begun, last = look_of(screen), monotonic(), None
    state = job.state
    for state in job.stream(timeout, on_outage=tell_outage):
        said, line = change_line(state, look, now(), monotonic() - begun)
        if said != last:
            screen.show([line])
            screen.stream.flush()
            last = said
    return state
