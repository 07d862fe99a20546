"""The command line ``kubectl mljob``: its commands, error messages and exit codes."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import typer
from typer.main import get_command

from .exits import Exit
from .session import goes_on

PROGRAM = "kubectl mljob"
MODULES: Final = {
    "running": ("run",),
    "listing": ("list",),
    "following": ("watch", "wait"),
    "explaining": ("why", "logs", "tree"),
    "changes": ("retry", "cancel", "suspend", "resume"),
    "comparing": ("compare",),
    "sweeping": ("sweep",),
    "linting": ("lint",),
    "opening": ("open", "ui"),
}
"""The modules with the commands, in the order of the help."""


def application(command: str | None = None) -> typer.Typer:
    """Return the Typer application of ``kubectl mljob``.

    Args:
        command: The name of the command to run. Only its module is imported, for a fast start. For
            None or an unknown name, all modules are imported.
    """
    app = typer.Typer(
        name="mljob",
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "terminal_width": 100},
    )
    app.callback()(_about)
    for module in [module for module, names in MODULES.items() if command in names] or MODULES:
        import_module(f"{__package__}.{module}").add_to(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"kubectl mljob {version('mljob')}")
        raise typer.Exit


def _about(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Run ML jobs on Airflow, follow them, find out why they failed, repeat and compare them.

    kubectl does the rest: get, describe, apply, edit, delete.

    Exit codes: 0 success, 1 an MLJob failed or lint found a mistake, 2 an MLJob was cancelled or
    deleted, 3 an MLJob did not end within --timeout, 4 the command could not do its work or has a
    bug, 64 wrong options, 130 Ctrl-C.
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command line, and return its exit code, also after Ctrl-C or after the reader of the
    output has closed the pipe. Wrong options, :class:`.MLJobError` and ``OSError`` lead to a
    printed message. For other errors, the traceback is printed too, and the exit code is ERROR.
    """
    _prepare_streams()
    try:
        app = application(arguments[0] if arguments else None)
        code = get_command(app).main(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # Typer exits when the reader of a pipe has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes it at its end
        return Exit.BROKEN_PIPE
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except typer.Abort:
        code = Exit.INTERRUPTED
    except Exception as error:
        return _print_error(error)
    if code == Exit.INTERRUPTED and (sentence := goes_on.get()):
        typer.echo(f"\n{sentence}", err=True)
    return code if isinstance(code, int) else Exit.SUCCESS


def _prepare_streams() -> None:
    """Replace closed standard streams (``>&-``), which Python sets to None, by the null device. Have
    standard output write a character that its encoding lacks as an escape.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _print_error(error: Exception) -> int:
    from typer.exceptions import TyperException

    if isinstance(error, TyperException):
        getattr(error, "show", lambda: typer.echo(f"Error: {error}", err=True))()
        return Exit.USAGE
    from ..errors import InvalidArgument, JobCancelled, JobError, JobTimeout, MLJobError
    from ..text import clean_line

    if not isinstance(error, MLJobError | OSError):
        return _print_bug(error)
    typer.echo("Error: " + "\n".join(clean_line(line) for line in str(error).splitlines()), err=True)
    if isinstance(error, InvalidArgument):
        return Exit.USAGE
    if isinstance(error, JobCancelled):
        return Exit.CANCELLED
    if isinstance(error, JobTimeout):
        return Exit.TIMED_OUT
    return Exit.FAILED if isinstance(error, JobError) else Exit.ERROR


def _print_bug(error: Exception) -> int:
    """Print the traceback of an error that no command expects. Return ERROR, because Python's own
    exit code for such an error is 1, which means that an MLJob failed.
    """
    import traceback

    from ..text import clean_line, plain

    for line in "".join(traceback.format_exception(error)).splitlines():
        typer.echo(clean_line(line), err=True)
    said = f"{type(error).__name__}: {plain(str(error), 200)}".rstrip(": ")
    typer.echo(f"Error: {said}. This is a bug of {PROGRAM}: report it with the lines above.", err=True)
    return Exit.ERROR
