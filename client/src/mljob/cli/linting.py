"""The command ``lint``, which finds mistakes in manifests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from . import completion
from .exits import Exit
from .options import with_groups
from .session import Session

MAX_FILES = 2_000
"""The maximum number of files that one ``lint`` checks."""
_ENDINGS = (".yaml", ".yml", ".json")


def add_to(app: typer.Typer) -> None:
    """Add the command ``lint`` to ``app``."""
    app.command()(with_groups(lint))


def lint(
    session: Session,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE",
            help="YAML or JSON files, folders with such files, or - for standard input.",
            autocompletion=completion.files,
            show_default=False,
        ),
    ],
    server: Annotated[
        bool, typer.Option("--server", help="Also have the API server check each MLJob, by a dry run.")
    ] = False,
) -> int:
    """Find mistakes in manifests of MLJobs and AirflowInstances.

    The command compares manifests with the CRDs of its own version: names and types of fields,
    limits, and validation rules. This check needs no cluster. Only the option --server needs a
    cluster. The exit code is 1 if there is a mistake.
    """
    from ..documents import MAX_BYTES, DocumentError, documents
    from ..lint import check, is_ours
    from ..text import plain
    from .values import read

    mistakes = checked = skipped = 0
    for file in _files_to_check(files):
        try:
            for document in documents(read(file, MAX_BYTES, "FILE")):
                if not is_ours(document.value):
                    skipped += 1
                    continue
                checked += 1
                problems = [(finding.line, str(finding)) for finding in check(document)]
                if server and not problems:
                    problems = [(None, refusal) for refusal in _refusals(session, document.value)]
                mistakes += len(problems)
                for line, message in problems:
                    typer.echo(f"{plain(file)}:{f'{line}:' if line else ''} {message}")
        except DocumentError as error:
            mistakes += 1
            typer.echo(f"{plain(file)}: {error}")
    others = f", {skipped} of other kinds skipped" if skipped else ""
    typer.echo(f"{checked} checked{others}, {mistakes} mistake{'' if mistakes == 1 else 's'}", err=True)
    if not checked and not mistakes:
        typer.echo("Error: no MLJob and no AirflowInstance in these files.", err=True)
        return Exit.USAGE
    return Exit.FAILED if mistakes else Exit.SUCCESS


def _files_to_check(paths: list[str]) -> Iterator[str]:
    count = 0
    for path in paths:
        inside = (
            sorted(str(file) for file in Path(path).rglob("*") if file.suffix in _ENDINGS)
            if Path(path).is_dir()
            else [path]
        )
        if not inside:
            raise typer.BadParameter(
                f"{path}: the folder has no file that ends in {', '.join(_ENDINGS)}", param_hint="FILE"
            )
        for file in inside:
            count += 1
            if count > MAX_FILES:
                raise typer.BadParameter(f"more than {MAX_FILES} files", param_hint="FILE")
            yield file


def _refusals(session: Session, value: dict[str, Any]) -> Iterator[str]:
    from ..errors import Invalid, NotAllowed
    from ..text import plain

    try:
        session.dry_run(value)
    except (Invalid, NotAllowed) as error:
        yield plain(str(error), 2_000)
