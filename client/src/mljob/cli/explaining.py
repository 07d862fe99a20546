"""The commands ``why``, ``logs`` and ``tree``, which explain a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import completion
from .options import Name, with_groups
from .screen import Screen
from .session import Session

if TYPE_CHECKING:
    from mljob_contract.graph import RunGraph

    from ..failure_log import LogEnd
    from ..render.explanation import Explanation
    from ..sync.job import Job
    from .trees import Upstream

LOG_TAIL = 20
"""The maximum number of lines of a failed task's log that ``why`` shows by default."""


def add_to(app: typer.Typer) -> None:
    """Add the commands ``why``, ``logs`` and ``tree`` to ``app``."""
    app.command()(with_groups(why))
    app.command()(with_groups(logs))
    app.command()(with_groups(tree))


def why(
    session: Session,
    name: Name,
    tail: Annotated[
        int, typer.Option(metavar="NUMBER", min=0, max=10_000, help="How many lines of the failed task's log to show.")
    ] = LOG_TAIL,
) -> None:
    """Say why an MLJob waits or failed.

    Also says what to do. For a failed task, shows the error and the lines of the log that explain
    the error.
    """
    from ..failure_log import LogEnd
    from ..render.explanation import explain
    from .live import look_of, now
    from .pages import explanation_lines

    job, screen, at = session.job(name), Screen(), now()
    explanation = explain(job.state, at, session.scope)
    log, no_log = _log_or_cause(job, explanation, tail) if explanation.needs_log and tail else (LogEnd([]), "")
    screen.wrap(explanation_lines(explanation, look_of(screen), at, log, no_log))


def logs(
    session: Session,
    name: Name,
    task: Annotated[
        str | None,
        typer.Argument(
            help="The id of a task. Default: the failed task, else the running one, else the newest.",
            autocompletion=completion.tasks,
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Go on until the task has ended. Waits for a task that has not started."),
    ] = False,
    tail: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", min=0, max=10_000, help="Only the last lines, so many.", show_default=False),
    ] = None,
    map_index: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=0, help="The instance of a mapped task.", show_default=False)
    ] = None,
    try_number: Annotated[
        int | None,
        typer.Option("--try", metavar="NUMBER", min=1, help="The try. Default: the newest.", show_default=False),
    ] = None,
) -> None:
    """Print the log of a task.

    The part of the operator that serves logs, mljob-api, has to be installed in the cluster.
    """
    job, screen = session.job(name), Screen()
    if follow:
        session.follows([job.name])
    for line in job.logs(task, map_index=map_index, try_number=try_number, tail=tail, follow=follow):
        screen.say(line)
        if follow:
            screen.stream.flush()


def tree(session: Session, name: Name) -> None:
    """Show the tasks of a run as a tree.

    First come the MLJobs whose outputs the run uses. Then come the tasks, by task groups, in the
    order of the DAG.
    """
    from .live import look_of, now
    from .trees import tree_lines

    job, screen = session.job(name), Screen()
    graph, note = _graph_or_cause(job)
    upstreams = [_upstream(session, other) for other in _upstream_names(job)]
    screen.show(tree_lines(job.state, graph, upstreams, look_of(screen), now()))
    if note:
        typer.echo(note, err=True)


def _log_or_cause(job: Job, explanation: Explanation, tail: int) -> tuple[LogEnd, str]:
    from ..errors import ApiError
    from ..failure_log import SEARCHED_LINES, LogEnd, end_with_error

    task = explanation.task
    searched = max(tail, SEARCHED_LINES)
    try:
        lines = list(job.logs(task.task_id if task else None, map_index=explanation.map_index, tail=searched))
        return end_with_error(lines, tail, task.error if task else None), ""
    except ApiError as error:
        page = f" The log in Airflow: {task.url}" if task and task.url else ""
        return LogEnd([]), f"The log can't be read here: {error}{page}"


def _graph_or_cause(job: Job) -> tuple[RunGraph | None, str]:
    from ..errors import ApiError

    try:
        return job.graph(), ""
    except ApiError as error:
        return None, f"The tasks are in the order in which they started, because the graph can't be read: {error}"


def _upstream_names(job: Job) -> list[str]:
    from ..render import fields

    sources = (fields.child(source, "outputsRef") for source in fields.children(job.state.raw_spec, "confFrom"))
    return list(dict.fromkeys(name for source in sources if (name := fields.text(source, "name"))))


def _upstream(session: Session, name: str) -> Upstream:
    from ..errors import ApiError, NotFound
    from . import trees

    try:
        return trees.Upstream(name, session.client.get(name).state.phase)
    except NotFound:
        return trees.Upstream(name, problem="not found")
    except ApiError as error:
        return trees.Upstream(name, problem=f"can't be read: {error}")
