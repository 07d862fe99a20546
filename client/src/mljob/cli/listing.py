"""The command ``list``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from .options import AllNamespaces, Format, Output, Selector, with_groups
from .screen import Screen
from .session import Session

if TYPE_CHECKING:
    from ..resource import MLJob


def add_to(app: typer.Typer) -> None:
    """Add the command ``list`` to ``app``."""
    app.command("list")(with_groups(list_jobs))


def list_jobs(
    session: Session,
    *,
    selector: Selector = None,
    all_namespaces: AllNamespaces = False,
    phase: Annotated[
        str | None,
        typer.Option(
            metavar="PHASE",
            help="Only MLJobs in this phase, such as Failed.",
            autocompletion=completion.phases,
            show_default=False,
        ),
    ] = None,
    type_: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Only MLJobs of this type, such as Training.",
            autocompletion=completion.types,
            show_default=False,
        ),
    ] = None,
    dag: Annotated[
        str | None, typer.Option(metavar="DAG_ID", help="Only MLJobs of this DAG.", show_default=False)
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, and show changes.")] = False,
    output: Output = None,
) -> None:
    """List MLJobs with their progress.

    Each line has the progress of an MLJob, and its current task or the reason of its phase. If an
    MLJob waits or failed, a message says why. On a narrow terminal, long names and points of sweeps
    are cut; -o name prints whole names.
    """
    if watch and output is not None:
        raise typer.BadParameter(
            f"{output.value!r} prints the MLJobs once, so it can't be used with --watch. Leave out one of the options, "
            f"or print each change as an object: kubectl get mljobs --watch -o {output.value}",
            param_hint="--output",
        )
    wanted = {
        "status.phase": _spelling_of_api(phase, completion.phases, "--phase"),
        "spec.type": _spelling_of_api(type_, completion.types, "--type"),
        "spec.dagId": dag,
    }
    fields = ",".join(f"{name}={_escaped(value)}" for name, value in wanted.items() if value)
    chosen: dict[str, Any] = {"all_namespaces": all_namespaces, "field_selector": fields or None}
    if watch:
        _watched(session, selector, chosen)
        return
    jobs = [job.state for job in session.client.list_jobs(selector, **chosen)]
    if output is not None:
        print_objects(jobs, output)
        return
    _print(session, jobs, with_namespace=all_namespaces, filtered=bool(selector or fields))


def print_objects(jobs: list[MLJob], output: Format, *, as_list: bool = True) -> None:
    """Print MLJobs in the format of the option ``-o``. The formats JSON and YAML print a Kubernetes
    List of the MLJobs, or only the first MLJob without a List if ``as_list`` is false.
    """
    from .objects import dumped, named

    if output is Format.NAME:
        typer.echo("\n".join(named(job) for job in jobs), nl=bool(jobs))
    else:
        typer.echo(dumped([job.raw for job in jobs], output, as_list=as_list), nl=False)


def _print(session: Session, jobs: list[MLJob], *, with_namespace: bool, filtered: bool) -> None:
    from ..render.rows import row_of
    from .live import look_of, now
    from .live_list import ordered
    from .pages import list_lines

    if not jobs:
        where = "any namespace" if with_namespace else f"namespace {session.client.namespace}"
        what = "No MLJob matches" if filtered else "There are no MLJobs"
        start = "" if filtered else f" Start one: kubectl mljob run DAG_ID {session.scope}".rstrip()
        typer.echo(f"{what} in {where}.{start}", err=True)
        return
    screen, at = Screen(), now()
    rows = [row_of(job, at) for job in ordered(jobs)]
    screen.show(list_lines(rows, look_of(screen), with_namespace=with_namespace, width=screen.width))


def _watched(session: Session, selector: str | None, chosen: dict[str, Any]) -> None:
    from .live import drawn
    from .live_list import LiveList

    screen = Screen()
    is_filtered = bool(selector or chosen["field_selector"])
    shown = LiveList(screen, with_namespace=chosen["all_namespaces"], is_filtered=is_filtered)
    changes = session.client.watch(selector, **chosen)
    if screen.is_terminal:
        with drawn(screen, shown.page):
            for change in changes:
                shown.take(change)
        return
    for change in changes:
        shown.take(change)
        screen.show(shown.lines_about(change))
        screen.stream.flush()


def _spelling_of_api(word: str | None, beginning_with: Callable[[str], list[str]], option: str) -> str | None:
    """Return the value of an option in the spelling of the API, such as ``Failed`` for ``failed``.

    Raises:
        typer.BadParameter: The API has no such value.
    """
    if not word:
        return None
    from ..findings import meant

    words = {each.lower(): each for each in map(str, beginning_with(""))}
    if word.lower() not in words:
        choices = ", ".join(words.values())
        raise typer.BadParameter(f"{word[:100]!r} is none of {choices}{meant(word, words.values())}", param_hint=option)
    return words[word.lower()]


def _escaped(value: str) -> str:
    """Escape a value of a field selector, as ``fields.EscapeValue`` of apimachinery does."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
