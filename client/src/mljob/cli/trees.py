"""The tree of a run: the MLJob, the MLJobs whose outputs the run uses, and the tasks by task
groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ..render import states
from ..render.rows import row_of
from ..render.tasks import MAX_TASK_ID, Task, line_of, tasks_of
from ..resource import MLJob
from ..text import plain
from .pages import Look
from .screen import Line, Piece, columns

if TYPE_CHECKING:
    from mljob_contract.graph import RunGraph

MAX_TASKS = 1_000
"""The maximum number of tasks in a tree."""
MAX_LEVELS = 10
"""The maximum number of levels of task groups in a tree."""
_MAX_AFTER = 3
"""The maximum number of upstream tasks that a line names."""


@dataclass
class Branch:
    """A node of the tree.

    Attributes:
        cells: The columns of the node's line. The first column has the node's name.
        children: The nodes below this node.
    """

    cells: list[Piece]
    children: list[Branch] = field(default_factory=list)


@dataclass(frozen=True)
class Upstream:
    """An MLJob whose outputs a run uses.

    Attributes:
        name: The MLJob's name.
        phase: The MLJob's phase. Empty if no operator has read the MLJob yet, or if there is a
            ``problem``.
        problem: Why the MLJob can't be shown, for example ``not found``. Otherwise empty.
    """

    name: str
    phase: str = ""
    problem: str = ""


def tree_lines(
    job: MLJob, graph: RunGraph | None, upstreams: Sequence[Upstream], look: Look, now: datetime
) -> list[Line]:
    """Return the lines of the tree of an MLJob.

    Args:
        job: The MLJob.
        graph: The graph of the MLJob's run, or None to show the tasks in the status.
        upstreams: The MLJobs whose outputs the run uses.
        look: The icons and bars of the screen.
        now: The current time, for durations.
    """
    row = row_of(job, now)
    root = Branch([Piece(row.name, is_strong=True), look.sign(row.sign), Piece(row.took), Piece(row.progress)])
    for upstream in upstreams:
        problem = f"? {plain(upstream.problem, 140)}" if upstream.problem else ""
        sign = Piece(problem, states.Tone.BAD) if problem else look.sign(states.of_phase(upstream.phase))
        root.children.append(Branch([Piece(f"takes outputs of {plain(upstream.name, 140)}"), sign]))
    if graph is None:
        found = tasks_of(job.raw_status)
        root.children += [_branch(task.name, task, "", look, now) for task in found]
    else:
        root.children += _of_graph(graph, job, look, now)
    return columns([root.cells, *_drawn(root.children, look)])


def _of_graph(graph: RunGraph, job: MLJob, look: Look, now: datetime) -> list[Branch]:
    known = {task.task_id: task for task in tasks_of(job.raw_status)}
    before: dict[str, list[str]] = {}
    for edge in graph.edges:
        before.setdefault(edge.target, []).append(edge.source)
    top, groups = list[Branch](), dict[str, Branch]()
    for node in graph.tasks[:MAX_TASKS]:
        # The status has what a task reports, and the graph has all tasks.
        task = known.get(node.id) or Task.of(node.model_dump(mode="json", by_alias=True, exclude_none=True))
        place = _group(node.group, groups, top)
        label = task.name if node.group is None else task.name.removeprefix(f"{node.group}.")
        place.append(_branch(label, task, _after(before.get(node.id, [])), look, now))
    more = len(graph.tasks) - MAX_TASKS + graph.tasks_omitted
    return [*top, *([Branch([Piece(f"and {more} more tasks")])] if more > 0 else [])]


def _group(group: str | None, groups: dict[str, Branch], top: list[Branch]) -> list[Branch]:
    """Return the list to which the caller adds the nodes of the group's tasks: the children of the
    group's node, or ``top`` if ``group`` is None.

    Create the missing nodes of the group and of its outer groups. A group below
    level :data:`MAX_LEVELS` gets no node. In that case, return the children of its outer group at
    level :data:`MAX_LEVELS`.
    """
    if group is None:
        return top
    path = group.split(".")[:MAX_LEVELS]
    place = top
    for level in range(1, len(path) + 1):
        key = ".".join(path[:level])
        if key not in groups:
            groups[key] = Branch([Piece(f"[{plain(path[level - 1], MAX_TASK_ID)}]", states.Tone.NEUTRAL)])
            place.append(groups[key])
        place = groups[key].children
    return place


def _branch(label: str, task: Task, after: str, look: Look, now: datetime) -> Branch:
    line = line_of(task, now)
    error = f"{line.error[:120]}" if line.error else ""
    notes = "  ".join(part for part in (line.notes, error, after) if part)
    return Branch([Piece(label), look.sign(line.sign), Piece(line.took), Piece(notes)])


def _after(names: Sequence[str]) -> str:
    if not names:
        return ""
    shown = ", ".join(plain(name, MAX_TASK_ID) for name in names[:_MAX_AFTER])
    more = f" and {len(names) - _MAX_AFTER} more" if len(names) > _MAX_AFTER else ""
    return f"after {shown}{more}"


def _drawn(branches: Sequence[Branch], look: Look, prefix: str = "") -> Iterator[list[Piece]]:
    corner, tee, bar = ("└─ ", "├─ ", "│  ") if look.has_unicode else ("`- ", "|- ", "|  ")
    for branch in branches:
        is_last = branch is branches[-1]
        name, *rest = branch.cells
        yield [Piece(f"{prefix}{corner if is_last else tee}{name.text}", name.tone, name.is_strong), *rest]
        yield from _drawn(branch.children, look, prefix + ("   " if is_last else bar))
