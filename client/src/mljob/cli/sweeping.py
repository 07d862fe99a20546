"""The command ``sweep``."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Output, Timeout, seconds, with_groups
from .running import DagId, Request
from .session import Session


def add_to(app: typer.Typer) -> None:
    """Add the command ``sweep`` to ``app``."""
    app.command()(with_groups(sweep))


def sweep(
    session: Session,
    request: Request,
    dag_id: DagId,
    *,
    name: Annotated[
        str,
        typer.Option(
            "--name", metavar="NAME", help="The name of the sweep, at most 63 characters.", show_default=False
        ),
    ],
    grid: Annotated[
        list[str],
        typer.Option(
            "--grid",
            "-g",
            metavar="KEY=V1,V2",
            help="The values of a param. All combinations run, at most 500.",
            show_default=False,
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all have ended. The exit code says how.")] = False,
    timeout: Timeout = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the points; nothing runs.")] = False,
    output: Output = None,
) -> int | None:
    """Run a DAG once for each point of a grid. A point is one combination of the values in --grid.

    All MLJobs of the sweep have the label mljob.dev/sweep=NAME. kubectl mljob list shows the point
    of each MLJob.

    A repeated command creates only the MLJobs that are missing.
    """
    from ..sweep import SWEEP_LABEL, points_of
    from ..text import values_text
    from .values import grid_of

    limit, points = seconds(timeout), grid_of(grid)
    if dry_run:
        for point in points_of(name, points):
            typer.echo(f"{point.name}  {values_text(point.params)}")
        return None
    jobs = session.client.sweep(
        dag_id, points, name=name, conf=request.given_conf(), labels=request.labels(), **request.spec()
    )
    if output is not None:
        from .listing import print_objects

        print_objects([job.state for job in jobs], output)
    else:
        for job in jobs:
            typer.echo(f"mljob.mljob.dev/{job.name}  {values_text({key: job.state.conf.get(key) for key in points})}")
        scope = f" {session.scope}" if session.scope else ""
        typer.echo(
            f"{len(jobs)} MLJobs. Follow them: kubectl mljob list -w -l {SWEEP_LABEL}={name}{scope}\n"
            f"Compare them: kubectl mljob compare -l {SWEEP_LABEL}={name}{scope}",
            err=True,
        )
    if wait:
        from .following import waited_for

        return waited_for(session, jobs, limit)
    return None
