"""`python -m devstack <verb>`: starts, shows and stops a development stack. The verbs are up, down,
clean, status, logs, env, start, stop, kill, restart, demo and demo-platform.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack import demo, demo_platform, progress
from devstack.bootstrap import AIRFLOW_ENVIRONMENTS, NEWEST, ROOT, SIMULATED, BootstrapError
from devstack.errors import StackError
from devstack.progress import say
from devstack.stack import Stack
from devstack.terminal import show, show_progress


def main() -> int:
    """Run the verb that the command line names, and return the exit status of the process. A
    StackError or BootstrapError is printed without a traceback, and the exit status is 1.
    """
    arguments = _parser().parse_args()
    progress.print_with(show_progress)
    stack = Stack(arguments.directory)
    try:
        return int(arguments.run(stack, arguments) or 0)
    except (StackError, BootstrapError) as problem:
        say(f"error: {problem}")
        return 1
    except KeyboardInterrupt:
        say("interrupted: `make up` continues, `make down` stops what is running")
        return 130


def _up(stack: Stack, arguments: argparse.Namespace, extra_env: Mapping[str, str] | None = None) -> None:
    named = os.environ.get("DAGS_FOLDERS", "").split(os.pathsep)
    stack.up(
        operator=not arguments.no_operator,
        dags_folders=_dags_folders([*named, *arguments.dags_folder]),
        extra_env=extra_env,
        airflow=arguments.airflow,
    )
    say(
        f"  Airflow is at {stack.env['AIRFLOW_URL']} (user {stack.env['AIRFLOW_USER']}, password {stack.env['AIRFLOW_PASSWORD']})"
    )
    say(f"  next: . {_shown(stack.directory / 'env')}; kubectl mljob list")


def _dags_folders(named: Sequence[str]) -> list[Path]:
    """Return ``named``, the folders with DAG files, as paths. A ``~`` at the beginning becomes the
    home directory, because Make passes ``~`` on unchanged. Empty strings are left out.

    Raises:
        StackError: A folder does not exist. Without this error, Airflow would start without the
            DAGs of the folder.
    """
    folders = [Path(folder).expanduser() for folder in named if folder]
    for folder in folders:
        if not folder.is_dir():
            raise StackError(f"DAGS_FOLDERS: {folder} is not a folder. Create it, or correct the path.")
    return folders


def _demo(stack: Stack, arguments: argparse.Namespace) -> None:
    arguments.no_operator = False
    _up(stack, arguments)
    demo.run(stack, bound=arguments.bound)


def _demo_platform(stack: Stack, arguments: argparse.Namespace) -> None:
    arguments.no_operator = False
    _up(stack, arguments, demo_platform.settings(stack))
    demo_platform.run(stack, bound=arguments.bound)


def _down(stack: Stack, _: argparse.Namespace) -> None:
    stack.down()


def _clean(stack: Stack, _: argparse.Namespace) -> None:
    stack.remove()


def _status(stack: Stack, _: argparse.Namespace) -> int:
    states = stack.states()
    for name, state in states.items():
        show(f"{name:<24} {state:<8} {stack.pid(name) or '-':>8}  {_shown(stack.log(name))}")
    return 0 if all(state == "ready" for name, state in states.items() if name != "operator") else 1


def _logs(stack: Stack, arguments: argparse.Namespace) -> None:
    names = arguments.component or [name for name in stack.states() if stack.log(name).exists()]
    files = [str(stack.log(name)) for name in names]
    os.execvp(  # noqa: S606 - the terminal is handed over to tail
        "tail", ["tail", f"--lines={arguments.lines}", *(["--follow=name"] if arguments.follow else []), *files]
    )


def _env(stack: Stack, _: argparse.Namespace) -> None:
    for name, value in stack.env.items():
        print(f"export {name}={shlex.quote(value)}")


def _one(stack: Stack, arguments: argparse.Namespace) -> None:
    getattr(stack, arguments.verb)(arguments.component)


def _shown(path: Path) -> str:
    return os.path.relpath(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devstack", description=__doc__)
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(os.environ.get("DEV_DIR", ROOT / ".dev")),
        help="the stack's directory: data, logs and ports",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start every component that is not running")
    up.add_argument(
        "--no-operator", action="store_true", help="leave the operator out; the chart is applied all the same"
    )
    up.set_defaults(run=_up)
    shown = verbs.add_parser("demo", help="`up`, then run an example MLJob and show its progress")
    shown.add_argument("--bound", type=float, default=demo.BOUND, help="seconds that the job may take")
    shown.set_defaults(run=_demo)
    platform = verbs.add_parser("demo-platform", help="`up`, then a dataset, models, predictions and a paused DAG")
    platform.add_argument("--bound", type=float, default=demo.BOUND, help="seconds that each job may take")
    platform.set_defaults(run=_demo_platform)
    for verb_with_stack in (up, shown, platform):
        verb_with_stack.add_argument("--dags-folder", action="append", default=[], help="a folder with more DAGs")
        verb_with_stack.add_argument(
            "--airflow",
            choices=[*AIRFLOW_ENVIRONMENTS, SIMULATED],
            default=NEWEST,
            help="the version of Airflow, or the simulated Airflow of the benchmarks",
        )
    for verb, run, text in (
        ("down", _down, "stop every component"),
        ("clean", _clean, "stop every component and delete the stack's data"),
        ("status", _status, "show the state, the process id and the log of each component"),
        ("env", _env, "print the stack's variables as shell exports"),
    ):
        verbs.add_parser(verb, help=text).set_defaults(run=run)
    logs = verbs.add_parser("logs", help="show the end of the logs")
    logs.add_argument("component", nargs="*")
    logs.add_argument("--lines", type=int, default=20)
    logs.add_argument("--follow", action="store_true")
    logs.set_defaults(run=_logs)
    for verb, text in (
        ("start", "start one component"),
        ("stop", "stop one component"),
        ("kill", "kill one component with SIGKILL"),
        ("restart", "stop one component and start it again"),
    ):
        one = verbs.add_parser(verb, help=text)
        one.add_argument("component")
        one.set_defaults(run=_one)
    return parser


if __name__ == "__main__":
    sys.exit(main())
