"""Shows MLJobs live: on a terminal as a page that is drawn again and again, in a file or a pipe as
a line for each change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from ..resource import MLJob
from .pages import Look, change_line, job_lines
from .screen import Line, Screen, as_text

if TYPE_CHECKING:
    from rich.text import Text

    from ..sync.job import Job

FRAMES_PER_SECOND = 4
_OTHER_ROWS = 6
"""The number of rows of a page that don't show a task."""


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def look_of(screen: Screen) -> Look:
    """Return the :class:`.Look` with the icons and bars that a screen can show."""
    return Look(screen.sign, screen.is_terminal, screen.has_unicode)


@contextmanager
def drawn(screen: Screen, lines: Callable[[], list[Line]]) -> Iterator[None]:
    """Draw a page again and again during the ``with`` block. ``lines`` returns the current lines of
    the page. The last page stays on the screen.
    """
    from rich.live import Live
    from rich.text import Text

    def page() -> Text:
        return Text("\n").join(as_text(line) for line in lines()[: screen.height - 1])

    with Live(get_renderable=page, console=screen.console(), refresh_per_second=FRAMES_PER_SECOND, transient=False):
        yield


def follow(job: Job, screen: Screen, timeout: float | None) -> MLJob:
    """Show an MLJob until the MLJob has ended or is stalled. Return the last :class:`.MLJob` that
    was read. A stalled MLJob can't continue until somebody changes its spec, its DAG or its rights.

    Raises:
        JobDeleted: The MLJob was deleted before it ended.
        JobTimeout: The MLJob did not end within ``timeout`` seconds, and continues.
    """
    if not screen.is_terminal:
        return _printed(job, screen, timeout)
    look, known = look_of(screen), [job.state]
    with drawn(screen, lambda: job_lines(known[0], look, now(), screen.height - _OTHER_ROWS)):
        for state in job.stream(timeout):
            known[0] = state
    return known[0]


def _printed(job: Job, screen: Screen, timeout: float | None) -> MLJob:
    look, begun, last = look_of(screen), monotonic(), None
    state = job.state
    for state in job.stream(timeout):
        said, line = change_line(state, look, now(), monotonic() - begun)
        if said != last:
            screen.show([line])
            screen.stream.flush()
            last = said
    return state
