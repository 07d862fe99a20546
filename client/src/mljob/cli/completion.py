"""Completion of command lines: the candidates for the word that a person types in the shell.

A function for one kind of word, such as :func:`jobs`, returns only candidates that begin with the
parameter ``incomplete``. The result is empty if the kubeconfig or the cluster can't be read.

kubectl 1.26 and later runs ``kubectl_complete-mljob`` for completion, and expects the output format
of cobra: a line for each candidate, and a last line with a directive.
Source: "Extend kubectl with plugins" in the documentation of Kubernetes
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ..resource import MLJob
    from ..sync.client import Client

SECONDS = 2.0
"""The maximum time that completion waits for the cluster, in seconds. A shell that waits longer
feels broken.
"""
MAX_CANDIDATES = 500
_NO_FILES = ":4"
"""cobra's directive ShellCompDirectiveNoFileComp."""
_WITH_FILES = ":0"
_FILE = "file"
"""The help text of a candidate that stands for all files."""


def jobs(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the MLJobs in the namespace that the command uses. A kind before the name,
    as in ``mljob/NAME``, is kept.
    """
    from .session import split_name

    kind, _ = split_name(incomplete)
    return _matching(incomplete, _names_in_jobs(context, lambda job: [f"{kind}{job.name}"]))


def dags(context: typer.Context, incomplete: str) -> list[str]:
    """Return the DAG ids of the MLJobs in the namespace that the command uses."""
    return _matching(incomplete, _names_in_jobs(context, lambda job: [job.dag_id]))


def tasks(context: typer.Context, incomplete: str) -> list[str]:
    """Return the task ids of the MLJob that the command line names."""
    from ..render.tasks import tasks_of
    from .session import split_name

    _, name = split_name(context.params.get("name") or "")
    return _matching(
        incomplete,
        _names_in_jobs(
            context, lambda job: [task.task_id for task in tasks_of(job.raw_status)] if job.name == name else []
        ),
    )


def contexts(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the contexts in the kubeconfig that the command uses."""
    from ..errors import ConfigError
    from ..kubeconfig import contexts as known

    try:
        return _matching(incomplete, known(context.params.get("kubeconfig")))
    except ConfigError:
        return []


def namespaces(context: typer.Context, incomplete: str) -> list[str]:
    """Return the names of the cluster's namespaces."""
    from ..errors import MLJobError
    from ..resource import MLJob

    try:
        return _matching(incomplete, [MLJob(raw).name for raw in _listed(context, lambda _: "/api/v1/namespaces")])
    except MLJobError:
        return []


def phases(incomplete: str) -> list[str]:
    """Return all values of :class:`Phase` that begin with ``incomplete``."""
    from mljob_contract.mljob import Phase

    return _matching(incomplete, Phase)


def types(incomplete: str) -> list[str]:
    """Return all values of :class:`JobType` that begin with ``incomplete``."""
    from mljob_contract.job_type import JobType

    return _matching(incomplete, JobType)


def files(incomplete: str) -> list[tuple[str, str]]:
    """Return a candidate with which :func:`answer` leaves the completion to the shell, for the path of
    a file.
    """
    return [(incomplete, _FILE)]


def main() -> None:
    """Print the lines of :func:`answer` for kubectl. The arguments of the process are the words
    after ``kubectl mljob``.
    """
    *words, incomplete = sys.argv[1:] or [""]
    for line in answer(words, incomplete):
        typer.echo(line)


def answer(words: list[str], incomplete: str) -> list[str]:
    """Return the lines for kubectl: a line for each candidate, and a last line that says whether
    the shell may complete file names. There are at most ``MAX_CANDIDATES`` candidates.
    """
    from typer._click.shell_completion import CompletionItem, ShellComplete
    from typer.main import get_command

    from .app import PROGRAM, application

    class Cobra(ShellComplete):
        def source_vars(self) -> dict[str, Any]:
            return {}

        def get_completion_args(self) -> tuple[list[str], str]:
            return words, incomplete

        def format_completion(self, item: CompletionItem) -> str:
            return f"{item.value}\t{item.help}" if item.help else str(item.value)

    shell = Cobra(get_command(application(words[0] if words else None)), {}, PROGRAM, "")
    found = shell.get_completions(words, incomplete)
    if any(item.help == _FILE for item in found):
        return [_WITH_FILES]
    return [*map(shell.format_completion, found[:MAX_CANDIDATES]), _NO_FILES]


def _names_in_jobs(context: typer.Context, names: Callable[[MLJob], Iterable[str]]) -> list[str]:
    from ..errors import MLJobError
    from ..resource import MLJob
    from ..sync.job import collection_path

    try:
        found = _listed(context, lambda client: collection_path(client.namespace))
    except MLJobError:
        return []
    return [name for raw in found for name in names(MLJob(raw))]


def _listed(context: typer.Context, path: Callable[[Client], str]) -> list[dict[str, Any]]:
    """List at most ``MAX_CANDIDATES`` objects. ``path`` returns the path of their collection.

    Raises:
        MLJobError: The kubeconfig can't be used, or the cluster refuses the request or doesn't
            answer within ``SECONDS``.
    """
    from .session import Session

    chosen = {name: context.params.get(name) for name in ("namespace", "context", "kubeconfig")}
    with Session(**chosen) as session:
        params, deadline = {"limit": str(MAX_CANDIDATES)}, monotonic() + SECONDS
        answer = session.client.transport.request(
            "GET", path(session.client), params=params, tries=1, deadline=deadline
        )
    items = answer.get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _matching(incomplete: str, names: Iterable[str]) -> list[str]:
    # Control characters must not reach the shell.
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete) and name.isprintable()]
