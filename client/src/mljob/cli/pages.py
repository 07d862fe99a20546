"""The lines that commands print about MLJobs. All functions are pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..failure_log import LogEnd
from ..render import fields, numbers
from ..render.explanation import Explanation
from ..render.rows import Row, row_of, sentence
from ..render.states import Sign, Tone
from ..render.tasks import Task, line_of, tasks_of
from ..resource import MLJob
from ..text import plain
from .screen import Line, Piece

INDENT = "  "
MIN_TASKS = 5
"""The minimum number of tasks that a live page shows, however few rows the terminal has."""
_MAX_OUTPUTS = 50


@dataclass(frozen=True)
class Look:
    """The icons and bars of a screen.

    Attributes:
        sign: A function that returns the icon and the word of a state.
        is_terminal: Whether the screen is a terminal. If not, a list has exactly one line for each
            MLJob.
        has_unicode: Whether bars may use block characters.
    """

    sign: Callable[[Sign], Piece]
    is_terminal: bool = False
    has_unicode: bool = False

    def bar(self, percent: int | None) -> str:
        """Return a progress bar for a percentage, or an empty text for None."""
        return numbers.bar(percent, "█", "░") if self.has_unicode else numbers.bar(percent)


LIST_TITLES = ("NAMESPACE", "NAME", "SWEEP POINT", "PHASE", "PROGRESS", "TOOK", "AGE", "NOW", "METRICS", "MESSAGE")


def list_cells(row: Row, look: Look, *, with_namespace: bool) -> list[Piece]:
    """Return the cells of an MLJob in a list. On a terminal, the cell of the message is empty,
    because the message has its own line.
    """
    has_bar = look.is_terminal and row.sign.tone is Tone.BUSY
    progress = f"{look.bar(row.percent)} {row.progress}".strip() if has_bar else row.progress
    return [
        Piece(row.namespace if with_namespace else ""),
        Piece(row.name, is_strong=True),
        Piece(row.point),
        look.sign(row.sign),
        Piece(progress),
        Piece(row.took),
        Piece(row.age),
        Piece(row.now),
        Piece(row.metrics),
        Piece("" if look.is_terminal else row.message),
    ]


def list_lines(
    rows: Sequence[Row], look: Look, *, with_namespace: bool, titles: bool = True, width: int | None = None
) -> list[Line]:
    """Return the lines of a list of MLJobs. On a terminal, the message of an MLJob is on a line
    below the MLJob.

    Args:
        rows: The MLJobs.
        look: The icons and bars of the screen.
        with_namespace: Whether the namespace is shown.
        titles: Whether the first line has the titles of the columns.
        width: The number of columns of the terminal. Long names and sweep points are cut, so that
            each line shows the phase. None cuts nothing.
    """
    from .screen import columns

    cells = [list_cells(row, look, with_namespace=with_namespace) for row in rows]
    lines = columns(cells, LIST_TITLES if titles else None, width=width, visible=LIST_TITLES.index("PHASE"))
    if not look.is_terminal:
        return lines
    made, body = list(lines[:1]) if titles else [], lines[1:] if titles else lines
    for row, line in zip(rows, body, strict=True):
        made.append(line)
        if row.message:
            made.append([Piece(f"{INDENT}{row.message}", Tone.NEUTRAL)])
    return made


def job_lines(job: MLJob, look: Look, now: datetime, most_tasks: int, width: int) -> list[Line]:
    """Return the lines of the live page about one MLJob and its tasks.

    Args:
        job: The MLJob.
        look: The icons and bars of the screen.
        now: The current time, for durations.
        most_tasks: The maximum number of tasks if the MLJob's sentence takes one line. Each further
            line of the sentence takes the place of a task. The page has room for at least
            :data:`MIN_TASKS` tasks.
        width: The number of columns at which the MLJob's sentence is wrapped.
    """
    from .screen import wrapped

    row = row_of(job, now)
    share = f"{look.bar(row.percent)} {row.percent}%" if row.percent is not None else ""
    parts = [Piece(row.name, is_strong=True), look.sign(row.sign), Piece(share), Piece(row.progress), Piece(row.took)]
    head = [piece for part in parts if part.text for piece in (part, Piece("  "))]
    said = wrapped(sentence(job), width - len(INDENT))
    lines: list[Line] = [head, *([Piece(f"{INDENT}{line}")] for line in said), []]
    tasks = tasks_of(job.raw_status)
    shown = _worth_showing(tasks, most_tasks - max(len(said) - 1, 0))
    lines += task_lines(shown, look, now)
    left_out = len(tasks) - len(shown) + (fields.whole(job.raw_status, "tasksOmitted") or 0)
    if left_out:
        lines.append([Piece(f"{INDENT}and {left_out} more tasks", Tone.NEUTRAL)])
    return lines


def task_lines(tasks: Sequence[Task], look: Look, now: datetime, indent: str = INDENT) -> list[Line]:
    """Return a line for each task. A task with an error has a second line with the error."""
    from .screen import columns

    rows = [line_of(task, now) for task in tasks]
    cells = [
        [Piece(f"{indent}{line.name}"), look.sign(line.sign), Piece(line.took), Piece(line.notes)] for line in rows
    ]
    made: list[Line] = []
    for line, shown in zip(rows, columns(cells), strict=True):
        made.append(shown)
        if line.error:
            made.append([Piece(f"{indent}{INDENT}{line.error}", Tone.BAD)])
    return made


def change_line(job: MLJob, look: Look, now: datetime, since: float) -> tuple[tuple[str, ...], Line]:
    """Return two values: texts that describe the state of an MLJob, and the line to print about
    this state. The caller prints the line only if the texts differ from the texts of the last
    printed line. The lines can't be compared instead, because each line begins with ``since``.

    Args:
        job: The MLJob.
        look: The icons and bars of the screen.
        now: The current time, for durations.
        since: The seconds since the command began.
    """
    row = row_of(job, now)
    percent = "" if row.percent is None else f"{row.percent}%"
    said = (row.name, row.sign.word, row.progress, percent, row.now, row.metrics, row.message)
    pieces = [
        Piece(f"{since:>7.1f}s  "),
        Piece(f"{look.sign(row.sign).text:<14}", row.sign.tone),
        Piece(f"{row.progress:>7}  {percent:>4}  {row.now or '-':<16}  "),
        Piece("  ".join(part for part in (row.metrics, row.message) if part)),
    ]
    return said, pieces


def output_lines(job: MLJob) -> list[Line]:
    """Return a line for each of the first 50 outputs of an MLJob. If there are more outputs, one
    more line says how many outputs are left out.
    """
    from .screen import columns

    found = list(job.outputs.items())
    cells = [[Piece(f"{INDENT}{plain(name, 63)}"), Piece(numbers.output(value))] for name, value in found]
    more = len(found) - _MAX_OUTPUTS
    return [*columns(cells[:_MAX_OUTPUTS]), *([[Piece(f"{INDENT}and {more} more")]] if more > 0 else [])]


def explanation_lines(explanation: Explanation, look: Look, now: datetime, log: LogEnd, no_log: str) -> list[Line]:
    """Return the lines that explain the state of an MLJob.

    Args:
        explanation: The explanation of the state.
        look: The icons and bars of the screen.
        now: The current time, for durations.
        log: The lines that explain the error of ``explanation.task``, from this task's log.
        no_log: Why the log can't be read, or an empty text.
    """
    from .screen import columns

    reason = f"  ({explanation.reason})" if explanation.reason and explanation.reason != explanation.sign.word else ""
    lines: list[Line] = [
        [Piece(explanation.name, is_strong=True), Piece("  "), look.sign(explanation.sign), Piece(reason)]
    ]
    lines.append([Piece(explanation.sentence)])
    if explanation.task is not None:
        lines += [[], *task_lines([explanation.task], look, now)]
    if log.lines:
        lines += [[], [Piece(log.title("its log"), Tone.NEUTRAL)]]
        lines += [[Piece(f"{INDENT}| {line}")] for line in log.lines]
    elif no_log and explanation.needs_log:
        lines += [[], [Piece(no_log, Tone.NEUTRAL)]]
    if explanation.facts:
        lines += [
            [],
            *columns([[Piece(f"{INDENT}{name}", Tone.NEUTRAL), Piece(value)] for name, value in explanation.facts]),
        ]
    for way in explanation.ways_out:
        lines += [[], [Piece(way.text)]]
        if way.command:
            lines.append([Piece(f"{INDENT}{way.command}", is_strong=True)])
    return lines


def comparison_lines(
    header: Sequence[str], cells: Sequence[Sequence[str]], best: str | None, by: str | None
) -> list[Line]:
    """Return the lines of a comparison. A star marks the best MLJob and the title ``by``.

    Args:
        header: The titles of the columns.
        cells: The rows, each a list of texts. The first text is the name of the MLJob.
        best: The name of the best MLJob, or None.
        by: The title of the column by which the rows are ordered, or None.
    """
    from .screen import columns

    titles = ["", *(f"{title}*" if title == by else title for title in (plain(text, 60) for text in header))]
    rows = [
        [Piece("*" if row[0] == best else " ", Tone.GOOD), Piece(row[0], is_strong=True), *map(Piece, row[1:])]
        for row in cells
    ]
    return columns(rows, [title.upper() if index < 3 else title for index, title in enumerate(titles)])


def _worth_showing(tasks: Sequence[Task], most: int) -> list[Task]:
    most = max(most, MIN_TASKS)
    if len(tasks) <= most:
        return list(tasks)
    rank = {"failed": 0, "awaiting_input": 0, "up_for_retry": 1, "running": 1, "deferred": 2, "queued": 2}
    ordered = sorted(range(len(tasks)), key=lambda index: (rank.get(tasks[index].state, 3), -index))
    return [tasks[index] for index in sorted(ordered[:most])]
