"""The commands ``watch`` and ``wait``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, exit_of, worst
from .options import Name, Names, Selector, Timeout, seconds, with_groups
from .screen import Line, Piece, Screen
from .session import Session

if TYPE_CHECKING:
    from ..changes import Change
    from ..resource import MLJob
    from ..sync.job import Job

_GONE = "It was deleted before it ended, or has other labels now."


def add_to(app: typer.Typer) -> None:
    """Add the commands ``watch`` and ``wait`` to ``app``."""
    app.command()(with_groups(watch))
    app.command()(with_groups(wait))


def watch(session: Session, name: Name, timeout: Timeout = None) -> int:
    """Show an MLJob live until it has ended or can't go on.

    Shows the MLJob's tasks, progress and metrics, and what the MLJob waits for. The exit code says
    how the MLJob ended. To watch several MLJobs, use list --watch.
    """
    return shown_to_the_end(session, session.job(name), seconds(timeout))


def wait(
    session: Session,
    names: Names = None,
    selector: Selector = None,
    timeout: Timeout = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing.")] = False,
) -> int:
    """Wait until each MLJob has ended or can't go on.

    While a problem or a person holds an MLJob up, for example because its DAG does not exist or an
    attempt has failed, its message is on standard error. The exit code is the first that applies:
    1 an MLJob failed or can't go on, 3 an MLJob did not end in time, 2 an MLJob was cancelled or
    deleted, 0 all MLJobs succeeded.
    """
    limit = seconds(timeout)
    return waited_for(session, session.jobs(names, selector), limit, selector=selector, quiet=quiet)


def waited_for(
    session: Session,
    jobs: list[Job],
    timeout: float | None,
    *,
    selector: str | None = None,
    quiet: bool = False,
    screen: Screen | None = None,
) -> int:
    """Wait until each MLJob has ended or can't continue without a change. Print a line for each
    MLJob. If the connection is lost, or an MLJob is held up
    (:func:`~mljob.render.waits.is_held_up`), print a line to standard error. Return the worst of
    the MLJobs' exit codes (:func:`.exits.worst`).

    Args:
        session: The cluster and the namespace.
        jobs: The MLJobs. An MLJob that is deleted before it has ended counts as cancelled.
        timeout: The maximum wait for all MLJobs together, in seconds. None means no maximum.
        selector: The label selector that chose the MLJobs, or None. If there are several MLJobs, an
            MLJob that no longer matches the selector counts as cancelled.
        quiet: Whether to print nothing.
        screen: Where the lines are printed. Default: standard output.
    """
    from ..resource import MLJob
    from ..sync.job import collection_path
    from ..sync.watch import watch_objects

    session.follows([job.name for job in jobs], selector)
    deadline = None if timeout is None else monotonic() + timeout
    states = {job.state.uid: job.state for job in jobs}
    wait = _Wait(states.values(), screen or Screen(), quiet=quiet)
    chosen = {"labelSelector": selector} if selector else {}
    if len(jobs) == 1:
        chosen = {"fieldSelector": f"metadata.name={jobs[0].name}"}

    def awaited(raw: dict[str, Any]) -> MLJob | None:
        # A namespace may have many large MLJobs, so the watch stores only those in ``jobs``.
        state = MLJob(raw)
        return state if state.uid in states else None

    path = collection_path(session.client.namespace)
    changes = watch_objects(session.client.transport, path, awaited, chosen, deadline)
    with closing(changes) as received:
        for change in received:
            wait.take(change)
            if wait.is_over:
                break
    wait.time_out(timeout or 0.0)
    return worst(wait.codes)


class _Wait:
    """A wait for MLJobs. Prints a line for each MLJob that ends, for each outage, and for each
    message of an MLJob that is held up.

    Attributes:
        codes: The exit codes of the MLJobs that have ended.
    """

    def __init__(self, states: Iterable[MLJob], screen: Screen, *, quiet: bool) -> None:
        from ..changes import Outages

        self.codes: list[Exit] = []
        self._waiting = {state.uid: state for state in states}
        self._listed: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._outages = Outages()
        self._screen = screen
        self._quiet = quiet

    @property
    def is_over(self) -> bool:
        return not self._waiting

    def take(self, change: Change[MLJob | None]) -> None:
        from ..changes import ChangeKind
        from .live import tell_outage

        if self._outages.take(change) and not self._quiet:
            tell_outage(self._outages.current)
        state = change.item
        if state is not None and state.uid in self._waiting:
            self._listed.add(state.uid)
            self._waiting[state.uid] = state
            if self._end_if_ended(state):
                return
            if change.kind is ChangeKind.DELETED:
                self._end(state, Exit.CANCELLED, _GONE)
            else:
                self._tell_wait(state)
        elif change.kind is ChangeKind.SYNCED:
            self._end_missing()

    def _tell_wait(self, state: MLJob) -> None:
        """If the MLJob is held up, print its message to standard error, each message once."""
        from ..render.rows import sentence
        from ..render.waits import is_held_up

        message = (state.uid, sentence(state))
        if is_held_up(state) and message not in self._told and not self._quiet:
            self._told.add(message)
            typer.echo(f"MLJob {state.name} waits: {sentence(state)}", err=True)

    def time_out(self, seconds: float) -> None:
        """End the wait after ``seconds``. An MLJob that had ended when it was read has not timed out."""
        from ..endings import time_out_sentence
        from ..render.rows import sentence

        outage = self._outages.current
        for state in list(self._waiting.values()):
            if not self._end_if_ended(state):
                known = f"Last known: {sentence(state)}" if outage else sentence(state)
                self._end(state, Exit.TIMED_OUT, f"{time_out_sentence('It', seconds, outage)} {known}")

    def _end_missing(self) -> None:
        """End the wait for the MLJobs that no list has."""
        from ..render.rows import sentence
        from ..verdict import has_ended

        for state in [state for uid, state in self._waiting.items() if uid not in self._listed]:
            if has_ended(state):
                self._end(state, exit_of(state), sentence(state))
            else:
                self._end(state, Exit.CANCELLED, _GONE)

    def _end_if_ended(self, state: MLJob) -> bool:
        """End the wait for an MLJob that has ended or can't continue. Return whether it has."""
        from ..render.rows import sentence

        code = exit_of(state)
        if code is not Exit.TIMED_OUT:
            self._end(state, code, sentence(state))
        return code is not Exit.TIMED_OUT

    def _end(self, state: MLJob, code: Exit, said: str) -> None:
        del self._waiting[state.uid]
        self.codes.append(code)
        if not self._quiet:
            self._screen.show([_end_line(state, said, self._screen)])
            self._screen.stream.flush()


def shown_to_the_end(session: Session, job: Job, timeout: float | None, screen: Screen | None = None) -> int:
    """Show an MLJob live until it has ended or can't continue without a change. Then call
    :func:`conclude`, and return the MLJob's exit code. If the MLJob still continues after
    ``timeout`` seconds, print an error and return TIMED_OUT. The default of ``screen`` is standard
    output.

    Raises:
        JobDeleted: The MLJob was deleted before it ended.
    """
    from ..errors import JobTimeout
    from .live import follow

    screen = screen or Screen()
    session.follows([job.name])
    try:
        state = follow(job, screen, timeout)
    except JobTimeout as error:
        typer.echo(str(error), err=True)
        return Exit.TIMED_OUT
    conclude(session, state, screen)
    return exit_of(state)


def conclude(session: Session, state: MLJob, screen: Screen) -> None:
    """Print the outputs of an MLJob that has succeeded. For an MLJob that has failed or can't
    continue, print the command that explains why.
    """
    from .pages import output_lines

    if exit_of(state) is Exit.SUCCESS:
        lines = output_lines(state)
        screen.say("", "Outputs:" if lines else "It has no outputs.")
        screen.show(lines)
    elif exit_of(state) is Exit.FAILED:
        screen.say("", f"To find out why: kubectl mljob why {state.name} {session.scope}".rstrip())


def _end_line(state: MLJob, said: str, screen: Screen) -> Line:
    from ..render import states

    sign = screen.sign(states.of_phase(state.phase))
    return [Piece(state.name, is_strong=True), Piece("  "), sign, Piece(f"  {said}")]
