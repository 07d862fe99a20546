"""The graph of a run as boxes, one for each task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mljob_contract.graph import GraphTask, RunGraph
from mljob_contract.mljob import TaskStatus

from .gantt import mapped_counts
from .graph_layout import Layout, layout
from .marks import Mark, task_mark
from .outside_text import cut

MAX_LABEL = 20
"""The maximum number of characters of a label in a box."""
BESIDE_TEXT = 46
"""The width of a box without its text: icon and margins, in pixels."""
PER_CHARACTER = 8
"""The width of a character of the text, in pixels, in wide fonts."""
SHRINKABLE = (1050, 1400)
"""The width to which a graph may shrink (view.css), and the maximum width of a graph whose text is
still legible at that width, in pixels.
"""


@dataclass(frozen=True, slots=True)
class Box:
    """A task in the drawing.

    Attributes:
        label: The first line in the box: the name of the task, cut to :data:`MAX_LABEL` characters.
        title: The accessible name of the box: the id of the task, a colon and ``words``, together
            cut to 300 characters.
        mark: The icon, the word and the colour that show the task's state.
        words: The second line in the box: the task's state, and its progress or counts.
        link: The URL query of the page that shows the task's log.
    """

    label: str
    title: str
    mark: Mark
    words: str
    link: str


@dataclass(frozen=True, slots=True)
class DrawnGraph:
    """The graph of a run in two drawings: the wide drawing from left to right, and the narrow
    drawing from top to bottom.
    """

    boxes: dict[str, Box]
    wide: Layout
    narrow: Layout

    @property
    def is_shrinkable(self) -> bool:
        """Whether the wide drawing shrinks in a narrower window. Otherwise, the user scrolls the
        drawing.
        """
        return SHRINKABLE[0] < self.wide.width <= SHRINKABLE[1]


def draw_graph(graph: RunGraph, tasks: Sequence[TaskStatus], link: Callable[[str], str]) -> DrawnGraph | None:
    """Return the :class:`DrawnGraph` for the graph of a run. Return None if the graph is empty or
    too large to draw.

    Args:
        graph: The graph of the run.
        tasks: The tasks in the MLJob's status. Their states replace the states in the graph,
            because the status is newer.
        link: Returns the URL query of the page with the log of a task. The argument is the task's
            id.
    """
    edges = [(edge.source, edge.target) for edge in graph.edges]
    known = {task.task_id: task for task in tasks}
    boxes = {task.id: _box(task, known.get(task.id), link) for task in graph.tasks}
    longest = max((len(text) for box in boxes.values() for text in (box.label, box.words)), default=0)
    width = BESIDE_TEXT + PER_CHARACTER * max(longest, 8)
    wide, narrow = layout(list(boxes), edges, width), layout(list(boxes), edges, width, is_vertical=True)
    return DrawnGraph(boxes, wide, narrow) if wide is not None and narrow is not None else None


def _box(task: GraphTask, status: TaskStatus | None, link: Callable[[str], str]) -> Box:
    mark = task_mark(cut(status.state if status else task.state, 40))
    counts = mapped_counts(status) if status else (task.counts or "")
    words = f"{mark.word} {cut(counts, 12)}".strip()
    if status is not None and status.progress is not None and status.mapped is None and status.state == "running":
        words = f"{mark.word} {status.progress}%"
    return Box(cut(task.label, MAX_LABEL), cut(f"{task.id}: {words}", 300), mark, words, link(task.id))
