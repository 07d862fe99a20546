"""The commands ``retry``, ``cancel``, ``suspend`` and ``resume``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Exit
from .options import Names, Selector, Timeout, Yes, seconds, with_groups
from .session import Session

if TYPE_CHECKING:
    from ..sync.job import Job

Wait = Annotated[bool, typer.Option("--wait", help="Wait until the new attempt has ended. The exit code says how.")]
Watch = Annotated[
    bool, typer.Option("--watch", "-w", help="Show the new attempt live until it has ended. For one MLJob.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands ``retry``, ``cancel``, ``suspend`` and ``resume`` to ``app``."""
    for command in (retry, cancel, suspend, resume):
        app.command()(with_groups(command))


def retry(
    session: Session,
    names: Names = None,
    selector: Selector = None,
    wait: Wait = False,
    watch: Watch = False,
    timeout: Timeout = None,
) -> int:
    """Run failed or succeeded MLJobs again.

    A failed MLJob runs its failed tasks again. With retryStrategy NewRun, a failed MLJob runs all
    its tasks again. An MLJob that succeeded runs again as a whole. A cancelled MLJob can't run
    again.
    """
    from ..verdict import retry_is_suspended

    limit = seconds(timeout)
    jobs = session.jobs(names, selector)
    code = _change_each(jobs, lambda job: job.retry(), "retry requested")
    for job in jobs:
        if retry_is_suspended(job.state):
            typer.echo(
                f"mljob.mljob.dev/{job.name} is suspended. The retry waits for: "
                f"kubectl mljob resume {job.name} {session.scope}".rstrip(),
                err=True,
            )
    if code is Exit.SUCCESS and (wait or watch):
        return _followed(session, jobs, selector, limit, live=watch)
    if code is Exit.SUCCESS and len(jobs) == 1:
        typer.echo(f"Follow it: kubectl mljob watch {jobs[0].name} {session.scope}".rstrip(), err=True)
    return code


def cancel(session: Session, names: Names = None, selector: Selector = None, yes: Yes = False) -> int:
    """Cancel MLJobs for good. The runs end, and the MLJobs are not deleted.

    On a terminal, the command asks for a confirmation first. To stop a run now and run the MLJob
    again later, use suspend.
    """
    from ..verdict import can_be_cancelled

    jobs = session.jobs(names, selector)
    open_jobs = [job for job in jobs if can_be_cancelled(job.state)]
    for job in jobs:
        if job not in open_jobs:
            typer.echo(f"mljob.mljob.dev/{job.name} has ended: {job.state.phase}", err=True)
    if open_jobs and not yes and sys.stdin.isatty():
        for job in open_jobs:
            typer.echo(_cancellation_text(job), err=True)
        typer.confirm("This is final. Cancel?", abort=True, err=True)
    return _change_each(open_jobs, lambda job: job.cancel(), "cancellation requested")


def suspend(session: Session, names: Names = None, selector: Selector = None) -> int:
    """Suspend MLJobs until they are resumed.

    The run in progress of an MLJob is cancelled. A backfill is paused instead: its runs in progress
    continue, and no other run of the backfill starts.
    """
    from ..verdict import can_be_cancelled

    jobs = session.jobs(names, selector)
    for job in jobs:
        if not can_be_cancelled(job.state):
            typer.echo(
                f"mljob.mljob.dev/{job.name} has ended: {job.state.phase}. While it is suspended, a retry waits.",
                err=True,
            )
    return _change_each(jobs, lambda job: job.suspend(), "suspended")


def resume(
    session: Session,
    names: Names = None,
    selector: Selector = None,
    wait: Wait = False,
    watch: Watch = False,
    timeout: Timeout = None,
) -> int:
    """Resume suspended MLJobs.

    A new attempt starts, or a paused backfill continues.
    """
    limit = seconds(timeout)
    jobs = session.jobs(names, selector)
    code = _change_each(jobs, lambda job: job.resume(), "resumed")
    return _followed(session, jobs, selector, limit, live=watch) if (wait or watch) and code is Exit.SUCCESS else code


def _change_each(jobs: list[Job], change: Callable[[Job], object], done: str) -> Exit:
    from ..errors import ApiError
    from ..text import plain

    code = Exit.SUCCESS
    for job in jobs:
        try:
            change(job)
        except ApiError as error:
            typer.echo(f"Error: mljob.mljob.dev/{job.name}: {plain(str(error))}", err=True)
            code = Exit.ERROR
        else:
            typer.echo(f"mljob.mljob.dev/{job.name} {done}")
    return code


def _followed(session: Session, jobs: list[Job], selector: str | None, timeout: float | None, *, live: bool) -> int:
    from .following import shown_to_the_end, waited_for

    if live and len(jobs) == 1:
        return shown_to_the_end(session, jobs[0], timeout)
    return waited_for(session, jobs, timeout, selector=selector)


def _cancellation_text(job: Job) -> str:
    from ..render import fields
    from ..text import plain

    running = fields.whole(fields.child(job.state.raw_status, "taskCounts"), "running") or 0
    run = plain(fields.text(job.state.raw_status, "dagRunId"), 250)
    if not run:
        return f"MLJob {job.name} is cancelled. It has no run yet."
    tasks = f"; {running} of its tasks {'is' if running == 1 else 'are'} running" if running else ""
    return f"MLJob {job.name}: its run {run} is cancelled in Airflow{tasks}."
