"""``mljob-airflow``: the jobs in DAG files, for who writes MLJobs.

``list`` shows the DAGs, ``explain`` one of them or a param of it, ``manifests`` writes MLJobs to fill in. They read DAG files as Airflow
does, by paths or from the DAG bundles that Airflow is configured with, and need neither its database nor a running Airflow: a
repository's CI can hold its manifests against its DAGs.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from mljob_airflow.jobs import catalog
from mljob_airflow.jobs.catalog import Catalog, DagEntry
from mljob_airflow.jobs.explanations import UnknownPath, explain
from mljob_airflow.jobs.import_errors import gist
from mljob_airflow.jobs.manifests import ManifestError, manifest, missing, set_values

MAX_NAMED = 20
"""DAGs that a message names."""


class UsageError(Exception):
    """What was asked for is not there; the text says what is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 is success, 1 a DAG that Airflow can't import, 2 a request that can't be met."""
    options = _parser().parse_args(arguments)
    found = catalog.load(options.dags)
    for file, why in found.broken.items():
        _say(f"warning: Airflow can't import {file}: {_indented(why) if options.traceback else gist(file, why)}")
    if found.broken and not options.traceback:
        _say("note: --traceback shows the whole tracebacks")
    try:
        options.command(found, options)
    except (UsageError, UnknownPath, ManifestError) as error:
        _say(f"error: {error.args[0]}")
        return 2
    return 1 if found.broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mljob-airflow", description="The jobs in DAG files: list them, explain them, and write MLJobs for them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dags",
        action="append",
        type=_existing,
        default=[],
        metavar="PATH",
        help="a DAG file, or a folder of them; repeatable. By default the DAG bundles that Airflow is configured with",
    )
    common.add_argument(
        "--traceback", action="store_true", help="the whole traceback of each file that Airflow can't import"
    )

    listing = commands.add_parser("list", parents=[common], help="the DAGs, with their params and outputs")
    listing.set_defaults(command=_list)

    explaining = commands.add_parser(
        "explain", parents=[common], help="a DAG, or a param of it, in the manner of kubectl explain"
    )
    explaining.add_argument("path", metavar="DAG[.PARAM[.FIELD...]]", help="train_model, or train_model.epochs")
    explaining.set_defaults(command=_explain)

    writing = commands.add_parser("manifests", parents=[common], help="MLJobs as YAML, with the params as comments")
    which = writing.add_mutually_exclusive_group(required=True)
    which.add_argument("--dag", action="append", default=[], metavar="DAG", help="an MLJob for this DAG; repeatable")
    which.add_argument("--all", action="store_true", help="an MLJob for each DAG that is declared with mljob_dag")
    writing.add_argument("--name", help="the MLJob's name; by default made from the DAG's id")
    writing.add_argument("--namespace", "-n", help="the MLJob's namespace; by default none is written")
    writing.add_argument(
        "--set",
        action="append",
        type=_assignment,
        default=[],
        metavar="PARAM=VALUE",
        help="a value of the conf, checked against the param; PARAM.FIELD=VALUE for a field of it; repeatable",
    )
    writing.set_defaults(command=_manifests)
    return parser


def _list(found: Catalog, _options: argparse.Namespace) -> None:
    rows = [("DAG", "TYPE", "OWNER", "PARAMS", "OUTPUTS")]
    for entry in found.dags.values():
        params = [f"{spec.name}{'*' if spec.required else ''}" for spec in entry.params]
        outputs = [spec.name for spec in entry.outputs]
        rows.append((entry.dag_id, entry.type.value, entry.owner, ",".join(params), ",".join(outputs)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("   ".join([*cells, row[-1]]).rstrip())


def _explain(found: Catalog, options: argparse.Namespace) -> None:
    parts = options.path.split(".")
    # A DAG's id may have dots itself: the longest that is one counts.
    for end in range(len(parts), 0, -1):
        entry = found.dags.get(".".join(parts[:end]))
        if entry is not None:
            print(explain(entry, parts[end:]), end="")
            return
    raise UsageError(_no_dag(options.path, found))


def _manifests(found: Catalog, options: argparse.Namespace) -> None:
    if options.all:
        entries = [entry for entry in found.dags.values() if entry.is_job]
        if not entries:
            raise UsageError(f"no DAG is declared with mljob_dag; name one with --dag: there are {_names(found.dags)}")
    else:
        entries = [_entry(found, dag_id) for dag_id in options.dag]
    if len(entries) != 1 and (options.name or options.set):
        raise UsageError("--name and --set are for one DAG")
    assignments = dict(options.set)
    if len(assignments) < len(options.set):
        raise UsageError("--set names a param twice")
    texts = []
    for entry in entries:
        conf = set_values(entry, assignments)
        texts.append(manifest(entry, name=options.name, namespace=options.namespace, conf=conf))
        if names := missing(entry, conf):
            _say(f"note: {entry.dag_id} needs a value for {', '.join(names)}: fill it in, or --set it")
    print("---\n".join(texts), end="")


def _entry(found: Catalog, dag_id: str) -> DagEntry:
    entry = found.dags.get(dag_id)
    if entry is None:
        raise UsageError(_no_dag(dag_id, found))
    return entry


def _no_dag(path: str, found: Catalog) -> str:
    parts = path.split(".")
    # Of a path to a param: what of it is most like the id of a DAG.
    beginnings = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    close = [(given, dag_id) for given in beginnings for dag_id in difflib.get_close_matches(given, found.dags, n=1)]
    if close:
        given, dag_id = max(close, key=lambda pair: difflib.SequenceMatcher(None, *pair).ratio())
        return f"no DAG {given!r}: did you mean {dag_id!r}?"
    return f"no DAG {beginnings[-1]!r}: there are {_names(found.dags)}"


def _names(dags: Collection[str]) -> str:
    if not dags:
        return "none at all; name a DAG file or a folder with --dags"
    named = ", ".join(list(dags)[:MAX_NAMED])
    return (
        named
        if len(dags) <= MAX_NAMED
        else f"{named} and {len(dags) - MAX_NAMED} more, which `mljob-airflow list` shows"
    )


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} isn't there")
    return path.resolve()


def _assignment(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise argparse.ArgumentTypeError(f"{text!r} isn't PARAM=VALUE")
    return path, value


def _indented(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.strip().splitlines())


def _say(text: str) -> None:
    print(text, file=sys.stderr)
