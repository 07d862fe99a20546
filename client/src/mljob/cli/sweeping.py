"""The command ``sweep``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Format, Output, Timeout, seconds, with_groups
from .running import DagId, Request
from .screen import beside
from .session import Session

if TYPE_CHECKING:
    from ..resource import MLJob


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
            help="The values of a param, a top-level key of the conf. All combinations run, at most 500. The values "
            "are YAML: y, n, yes, no, on and off are booleans, unless they are quoted within the shell's quotes: "
            '\'answer="yes","no"\'.',
            show_default=False,
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until all have ended. The exit code says how.")] = False,
    timeout: Timeout = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the options, and print the points; nothing runs.")
    ] = False,
    output: Output = None,
) -> int | None:
    """Run a DAG once for each point of a grid. A point is one combination of the values in --grid.

    All MLJobs of the sweep have the label mljob.dev/sweep=NAME. kubectl mljob list shows the point
    of each MLJob.

    A repeated command creates only the MLJobs that are missing.
    """
    from ..sweep import SWEEP_LABEL
    from .values import grid_of

    limit, points = seconds(timeout), grid_of(grid)
    if dry_run:
        # The names of the points don't need the namespace, and so no kubeconfig.
        namespace = session.namespace or ("" if output is None else session.client.namespace)
        _print_points(_planned(namespace, request, dag_id, name, points), points, output, prefix="")
        return None
    jobs = session.client.sweep(
        dag_id, points, name=name, conf=request.given_conf(), labels=request.labels(), **request.spec()
    )
    _print_points([job.state for job in jobs], points, output, prefix="mljob.mljob.dev/")
    if output is None:
        scope = f" {session.scope}" if session.scope else ""
        typer.echo(
            f"{len(jobs)} MLJobs. Follow them: kubectl mljob list -w -l {SWEEP_LABEL}={name}{scope}\n"
            f"Compare them: kubectl mljob compare -l {SWEEP_LABEL}={name}{scope}",
            err=True,
        )
    if wait:
        from .following import waited_for

        return waited_for(session, jobs, limit, selector=f"{SWEEP_LABEL}={name}", screen=beside(output))
    return None


def _planned(namespace: str, request: Request, dag_id: str, name: str, grid: dict[str, list[Any]]) -> list[MLJob]:
    """Return the MLJobs that a sweep would create, without a request."""
    from ..resource import MLJob
    from ..sweep import manifests_of

    manifests = manifests_of(
        dag_id,
        grid,
        name=name,
        namespace=namespace,
        conf=request.given_conf(),
        labels=request.labels(),
        spec=request.spec(),
    )
    return [MLJob(wanted) for wanted in manifests]


def _print_points(jobs: list[MLJob], params: Iterable[str], output: Format | None, *, prefix: str) -> None:
    """Print the MLJobs of a sweep in the format of the option ``-o``. Without this option, print the
    name of each MLJob after ``prefix``, and the MLJob's values of ``params``.
    """
    if output is not None:
        from .listing import print_objects

        print_objects(jobs, output)
        return
    from ..text import values_text

    for job in jobs:
        typer.echo(f"{prefix}{job.name}  {values_text({key: job.conf.get(key) for key in params})}")
