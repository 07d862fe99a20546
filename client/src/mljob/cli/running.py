"""The command ``run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import completion
from .options import Format, Output, Timeout, seconds, with_groups
from .screen import beside
from .session import Session

if TYPE_CHECKING:
    from ..sync.job import Job

_SOURCES = {
    "configmap": "configMapRef",
    "cm": "configMapRef",
    "secret": "secretRef",
    "mljob": "outputsRef",
    "mlj": "outputsRef",
}
"""The fields of ``confFrom`` by the kind of the object."""

DagId = Annotated[
    str,
    typer.Argument(
        metavar="DAG_ID", help="The id of the Airflow DAG.", autocompletion=completion.dags, show_default=False
    ),
]


@dataclass
class Request:
    """The options of ``run`` and ``sweep`` that describe the MLJob.

    Attributes:
        set_: Values of the conf, as ``KEY=VALUE``. The value is YAML.
        conf: The path of a file with the conf. ``-`` is standard input.
        sources: Objects whose keys are added to the conf: ``configmap/NAME``, ``secret/NAME``, or
            ``mljob/NAME[:KEY,KEY]`` for the outputs of an MLJob.
        type_: The type of the MLJob.
        airflow: The name of the AirflowInstance.
        retries: The value of ``backoffLimit``.
        label: Labels, as ``KEY=VALUE``.
    """

    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="KEY=VALUE",
            help="A key of the conf, such as epochs=20 or optimizer.lr=0.1. The value is YAML: y, n, yes, "
            "no, on and off are booleans, unless they are quoted within the shell's quotes: 'answer=\"no\"'.",
            show_default=False,
        ),
    ] = None
    conf: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A YAML or JSON file with the conf; - is standard input. --set overrides it.",
            autocompletion=completion.files,
            show_default=False,
        ),
    ] = None
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="KIND/NAME",
            help="An object with keys of the conf: configmap/NAME, secret/NAME, or mljob/NAME for its outputs; "
            "mljob/NAME:a,b for some of them.",
            show_default=False,
        ),
    ] = None
    type_: Annotated[
        str | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="The kind of work, such as Training. Default: Custom.",
            autocompletion=completion.types,
            show_default=False,
        ),
    ] = None
    airflow: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The AirflowInstance. Default: the platform's.", show_default=False),
    ] = None
    retries: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            min=0,
            max=1000,
            help="How often a failed run is retried: backoffLimit.",
            show_default=False,
        ),
    ] = None
    label: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="A label.", show_default=False)] = None

    def given_conf(self) -> dict[str, Any]:
        """Return the conf from the file ``conf`` and the values of ``set_``, which override the
        file.

        Raises:
            typer.BadParameter: The file or a value of ``set_`` is invalid.
        """
        from .values import assigned, conf_file, merged

        return merged(conf_file(self.conf) if self.conf is not None else {}, assigned(self.set_ or ()))

    def labels(self) -> dict[str, str]:
        """Return the labels by key.

        Raises:
            typer.BadParameter: A text in ``label`` is not ``KEY=VALUE``.
        """
        from .values import labels_of

        return labels_of(self.label or ())

    def spec(self) -> dict[str, Any]:
        """Return the fields ``type``, ``confFrom``, ``airflowRef`` and ``backoffLimit`` of the
        MLJob's spec. A field that no option sets is left out.

        Raises:
            typer.BadParameter: A text in :attr:`sources`, from which ``confFrom`` is made, is
                invalid.
        """
        fields = {
            "type": self.type_,
            "confFrom": [_source(text) for text in self.sources or ()] or None,
            "airflowRef": {"name": self.airflow} if self.airflow else None,
            "backoffLimit": self.retries,
        }
        return {name: value for name, value in fields.items() if value is not None}


def add_to(app: typer.Typer) -> None:
    """Add the command ``run`` to ``app``."""
    app.command()(with_groups(run))


def run(
    session: Session,
    request: Request,
    dag_id: DagId,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The name of the MLJob. Default: the DAG's id and a random suffix.", show_default=False
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it live until it ends. The exit code says how.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended. The exit code says how.")] = False,
    timeout: Timeout = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Have the API server check the MLJob, and print it; nothing runs.")
    ] = False,
    output: Output = None,
) -> int | None:
    """Run a DAG: create an MLJob.

    For an MLJob in a manifest file, use kubectl mljob lint and kubectl apply instead.
    """
    limit = seconds(timeout)
    if dry_run:
        _show_checked(session, request, dag_id, name, output)
        return None
    job = session.client.submit(dag_id, request.given_conf(), name=name, labels=request.labels(), **request.spec())
    _tell_created(session, job, output, follows=watch or wait)
    if watch:
        from .following import shown_to_the_end

        return shown_to_the_end(session, job, limit, beside(output))
    if wait:
        from .following import waited_for

        return waited_for(session, [job], limit, screen=beside(output))
    return None


def _source(text: str) -> dict[str, Any]:
    kind, _, rest = text.partition("/")
    name, _, keys = rest.partition(":")
    field = _SOURCES.get(kind.lower().split(".", 1)[0].removesuffix("s"))
    if field is None or not name or (keys and field != "outputsRef"):
        raise typer.BadParameter(
            f"{text[:100]!r} is not configmap/NAME, secret/NAME or mljob/NAME[:KEY,...]", param_hint="--from"
        )
    return {field: {"name": name, **({"keys": keys.split(",")} if keys else {})}}


def _show_checked(session: Session, request: Request, dag_id: str, name: str | None, output: Format | None) -> None:
    from ..manifest import manifest, random_name
    from ..resource import MLJob
    from .listing import print_objects

    wanted = manifest(
        name=random_name(dag_id) if name is None else name,
        namespace=session.client.namespace,
        dag_id=dag_id,
        conf=request.given_conf(),
        labels=request.labels(),
        spec=request.spec(),
    )
    print_objects([MLJob(session.dry_run(wanted, create=True))], output or Format.YAML, as_list=False)


def _tell_created(session: Session, job: Job, output: Format | None, *, follows: bool) -> None:
    if output is not None:
        from .listing import print_objects

        print_objects([job.state], output, as_list=False)
        return
    typer.echo(f"mljob.mljob.dev/{job.name} created")
    if not follows:
        typer.echo(f"Follow it: kubectl mljob watch {job.name} {session.scope}".rstrip(), err=True)
