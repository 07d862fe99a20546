"""The options with which a command chooses the cluster and the namespace. Also the sentence that
the program prints when the user ends a command with Ctrl-C.
"""

from __future__ import annotations

import re
import shlex
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from . import completion

if TYPE_CHECKING:
    from ..sync.client import Client
    from ..sync.job import Job

_KIND = re.compile(r"(?:mljobs?|mlj)(?:\.(?:v1alpha1\.)?mljob\.dev)?/", re.IGNORECASE)
"""The names of the resource MLJob, as kubectl takes them before the name of an object."""
MAX_NAMES = 500
"""The maximum number of MLJobs that a command changes or waits for."""
goes_on: ContextVar[str] = ContextVar("goes_on", default="")
"""The sentence that is printed after Ctrl-C: it says which MLJobs go on without the command."""


def split_name(name: str) -> tuple[str, str]:
    """Split ``mljob/NAME`` into ``mljob/`` and ``NAME``. The first part is empty if ``name`` doesn't
    begin with a name of the resource MLJob.
    """
    kind = _KIND.match(name)
    end = kind.end() if kind else 0
    return name[:end], name[end:]


@dataclass
class Session:
    """The cluster and the namespace that the options of a command choose.

    Attributes:
        namespace: The namespace, or None for the context's namespace.
        context: The context of the kubeconfig, or None for the current context.
        kubeconfig: The kubeconfig file, or None for the files that kubectl reads.
    """

    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            metavar="NAME",
            help="The namespace. Default: that of the context.",
            autocompletion=completion.namespaces,
            show_default=False,
        ),
    ] = None
    context: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The context of the kubeconfig. Default: the current one.",
            autocompletion=completion.contexts,
            show_default=False,
        ),
    ] = None
    kubeconfig: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The kubeconfig. Default: KUBECONFIG, else ~/.kube/config.",
            autocompletion=completion.files,
            show_default=False,
        ),
    ] = None

    def __post_init__(self) -> None:
        self._opened: list[Client] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._opened:
            client.close()

    @cached_property
    def client(self) -> Client:
        """The client for MLJobs.

        Raises:
            ConfigError: There is no usable kubeconfig.
        """
        from ..sync.client import Client

        client = Client(self.namespace, context=self.context, kubeconfig=self.kubeconfig)
        self._opened.append(client)
        return client

    @property
    def scope(self) -> str:
        """The options ``-n``, ``--context`` and ``--kubeconfig`` that the user has given, as text
        for a shell, such as ``-n team-a``. Empty if the user has given none of these options. A
        command that the program suggests to the user must contain this text.
        """
        given = (("-n", self.namespace), ("--context", self.context), ("--kubeconfig", self.kubeconfig))
        return " ".join(f"{option} {shlex.quote(value)}" for option, value in given if value)

    def job(self, name: str) -> Job:
        """Read an MLJob of the namespace, and return the MLJob as a :class:`.Job`. ``mljob/NAME``
        means the same as ``NAME``.

        Raises:
            typer.BadParameter: ``name`` is empty, or names an object of another kind, such as
                ``pod/NAME``.
            NotFound: No MLJob has this name. The message says how to list the MLJobs.
            KindNotServed: The API server does not serve MLJobs.
        """
        from ..errors import KindNotServed, NotFound

        _, short = split_name(name)
        if not short:
            raise typer.BadParameter(
                "The name of an MLJob is empty. If the name comes from a shell variable, set the variable."
            )
        if "/" in short:
            raise typer.BadParameter(f"{name[:200]!r} is not the name of an MLJob, such as digits or mljob/digits.")
        try:
            return self.client.get(short)
        except KindNotServed:
            raise
        except NotFound as error:
            listing = f"kubectl mljob list {self.scope}".rstrip()
            raise NotFound(
                f"There is no MLJob {short[:200]!r} in namespace {self.client.namespace}. See which there are: {listing}",
                code=error.code,
                reason=error.reason,
            ) from None

    def jobs(self, names: list[str] | None, selector: str | None, *, at_least: int = 1) -> list[Job]:
        """Return the MLJobs that the names or the label selector choose, as :class:`.Job` objects.

        Raises:
            typer.BadParameter: Names and a selector are both given, or both missing.
            NotFound: There is no MLJob for one of the names.
            Invalid: More MLJobs than :data:`MAX_NAMES` are chosen, or fewer than ``at_least``.
        """
        from ..errors import Invalid, none_selected

        if bool(names) is bool(selector):
            raise typer.BadParameter("Name MLJobs, or select them by labels with -l, and not both.")
        found = [self.job(name) for name in dict.fromkeys(names or ())] if names else self.client.list_jobs(selector)
        if len(found) < at_least:
            raise none_selected(selector or "", self.client.namespace)
        if len(found) > MAX_NAMES:
            raise Invalid(f"{len(found)} MLJobs are more than {MAX_NAMES}. Select fewer.")
        return found

    def dry_run(self, value: dict[str, Any], *, create: bool = False) -> dict[str, Any]:
        """Check an MLJob or an AirflowInstance by a dry run. Return the object that the API server
        would store.

        Args:
            value: The object.
            create: If True, an existing object of this name is an error. If False, and an object of
                this name exists, ``value`` is checked as a merge patch of the existing object.

        Raises:
            AlreadyExists: ``create`` is True, and there is an object of this name.
            Invalid: The API server would refuse the object.
            NotAllowed: The user may not create or change the object.
        """
        from urllib.parse import quote

        from ..errors import AlreadyExists
        from ..resource import KIND
        from ..sync.job import collection_path
        from ..sync.transport import MERGE_PATCH

        metadata, transport = value["metadata"], self.client.transport
        namespace = (metadata.get("namespace") or self.client.namespace) if value["kind"] == KIND else None
        path = collection_path(namespace)
        if value["kind"] != KIND:
            path = f"{path.rpartition('/')[0]}/airflowinstances"
        params = {"dryRun": "All", "fieldValidation": "Strict"}
        try:
            return transport.request("POST", path, params=params, body=value, repeatable=True)
        except AlreadyExists:
            if create:
                raise
        path = f"{path}/{quote(metadata['name'], safe='')}"
        return transport.request("PATCH", path, params=params, body=value, content_type=MERGE_PATCH, repeatable=True)

    def follows(self, names: list[str], selector: str | None = None) -> None:
        """Set the sentence that the program prints when the user ends this command with Ctrl-C. The
        sentence says that the MLJobs ``names`` continue, and with which command the user can follow
        them again. ``selector`` is the label selector that chose the MLJobs, or None.
        """
        if len(names) == 1:
            who, command = f"MLJob {names[0]} goes on", f"watch {names[0]}"
        else:
            who, command = f"{len(names)} MLJobs go on", "list --watch"
            if selector:
                command += f" -l {shlex.quote(selector)}"
        goes_on.set(f"{who}. To follow again: kubectl mljob {command} {self.scope}".rstrip())
