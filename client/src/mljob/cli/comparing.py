"""The command ``compare``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import Format, Names, Selector, with_groups
from .screen import Screen
from .session import Session


def add_to(app: typer.Typer) -> None:
    """Add the command ``compare`` to ``app``."""
    app.command()(with_groups(compare))


def compare(
    session: Session,
    names: Names = None,
    selector: Selector = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="RESULT",
            help="The output or metric to order by, such as accuracy. Default: the first number that most have.",
            show_default=False,
        ),
    ] = None,
    less: Annotated[
        bool | None,
        typer.Option(
            "--less-is-better/--more-is-better",
            help="What the best value is. Default: less for loss, error and the like.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Format | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FORMAT",
            help="Print rows as json or yaml, or the names as name.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare MLJobs by an output or a metric. The best MLJob comes first.

    Shows the params that differ, the outputs, and the metrics in each task's last report.
    """
    from ..errors import none_selected
    from .pages import comparison_lines

    jobs = session.jobs(names, selector, at_least=0)
    if not jobs:
        typer.echo(str(none_selected(selector or "", session.client.namespace)), err=True)
        return
    from ..compare import MAX_COLUMNS, compare_jobs

    most = MAX_COLUMNS if output is None else None
    found = compare_jobs([job.state for job in jobs], by=by, less_is_better=less, max_columns=most)
    if output is not None:
        _print(found.to_rows(), output)
        return
    screen = Screen()
    best = found.best.name if found.best is not None else None
    screen.show(comparison_lines(found.header(), found.cells(), best, found.by))
    if found.columns_omitted:
        typer.echo(f"{found.columns_omitted} more columns are left out; -o json has them.", err=True)


def _print(rows: list[dict[str, Any]], output: Format) -> None:
    if output is Format.NAME:
        typer.echo("\n".join(f"mljob.mljob.dev/{row['name']}" for row in rows))
        return
    from .objects import text_of

    typer.echo(text_of(rows, output), nl=False)
