"""The command ``mljob-airflow``, for authors of MLJobs: lists DAGs, explains a DAG or a param, and
writes MLJob manifests.

The command reads DAG files as Airflow does, but needs neither Airflow's database nor a running
Airflow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from mljob_airflow.jobs import catalog
from mljob_airflow.jobs.catalog import Catalog, DagEntry
from mljob_airflow.jobs.explanations import UnknownPath, explain
from mljob_airflow.jobs.import_errors import one_line
from mljob_airflow.jobs.manifests import ManifestError, manifest, missing, set_values
from mljob_airflow.jobs.suggestions import closest, likeness

MAX_NAMED = 20
"""The maximum number of DAGs that a message names."""


class UsageError(Exception):
    """The arguments name a DAG that does not exist, select no DAG, or contradict each other."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status: 2 if the arguments contradict each other or don't fit the DAGs. Otherwise 1
        if Airflow can't import a DAG file, and 0 for success.

    Raises:
        SystemExit: The arguments can't be parsed (status 2), or ask for help (status 0).
    """
    options = _parser().parse_args(arguments)
    found = catalog.load(options.dags)
    for file, why in found.broken.items():
        _print(f"warning: Airflow can't import {file}: {_indented(why) if options.traceback else one_line(file, why)}")
    if found.broken and not options.traceback:
        _print("note: --traceback shows the tracebacks")
    try:
        options.command(found, options)
    except (UsageError, UnknownPath, ManifestError) as error:
        _print(f"error: {error.args[0]}")
        return 2
    return 1 if found.broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mljob-airflow", description="List the DAGs in DAG files, explain them, and write MLJobs for them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--dags",
        action="append",
        type=_existing,
        default=[],
        metavar="PATH",
        help="a DAG file, or a folder of DAG files; repeatable. Default: the DAG bundles of Airflow's configuration",
    )
    common.add_argument(
        "--traceback", action="store_true", help="show the traceback of each DAG file that Airflow can't import"
    )

    listing = commands.add_parser("list", parents=[common], help="list the DAGs, with their params and outputs")
    listing.set_defaults(command=_list)

    explaining = commands.add_parser(
        "explain", parents=[common], help="explain a DAG or one of its params, like kubectl explain"
    )
    explaining.add_argument(
        "path", metavar="DAG[.PARAM[.FIELD...]]", help="for example train_model, or train_model.epochs"
    )
    explaining.set_defaults(command=_explain)

    writing = commands.add_parser(
        "manifests", parents=[common], help="write MLJobs as YAML, with comments about the params"
    )
    selection = writing.add_mutually_exclusive_group(required=True)
    selection.add_argument(
        "--dag", action="append", default=[], metavar="DAG", help="write an MLJob for this DAG; repeatable"
    )
    selection.add_argument(
        "--all", action="store_true", help="write an MLJob for each DAG that is declared with mljob_dag"
    )
    writing.add_argument("--name", help="name of the MLJob; default: made from the DAG's id")
    writing.add_argument("--namespace", "-n", help="namespace of the MLJob; default: none")
    writing.add_argument(
        "--set",
        action="append",
        type=_assignment,
        default=[],
        metavar="PARAM=VALUE",
        help="set a param in the conf, or with PARAM.FIELD=VALUE one of its fields; the value is validated; repeatable",
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
    # The id of a DAG may have dots. So the longest beginning of the path that is the id of a DAG
    # names the DAG, and the rest names the param.
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
            known = f"; use --dag with one of: {_names(found.dags)}" if found.dags else ": there are no DAGs"
            raise UsageError(f"no DAG is declared with mljob_dag{known}{_where_else(found)}")
    else:
        entries = [_entry(found, dag_id) for dag_id in options.dag]
    if len(entries) != 1 and (options.name or options.set):
        raise UsageError("--name and --set work with a single DAG: name one with --dag")
    assignments = dict(options.set)
    if len(assignments) < len(options.set):
        raise UsageError("--set sets the same param twice")
    texts = []
    for entry in entries:
        conf = set_values(entry, assignments)
        texts.append(manifest(entry, name=options.name, namespace=options.namespace, conf=conf))
        if names := missing(entry, conf):
            _print(f"note: {entry.dag_id} needs a value for {', '.join(names)}: fill it in, or use --set")
    print("---\n".join(texts), end="")


def _entry(found: Catalog, dag_id: str) -> DagEntry:
    entry = found.dags.get(dag_id)
    if entry is None:
        raise UsageError(_no_dag(dag_id, found))
    return entry


def _no_dag(path: str, found: Catalog) -> str:
    parts = path.split(".")
    # The path may be a misspelt DAG id, or a misspelt DAG id followed by a param. So find the
    # beginning of the path that is most similar to the id of a DAG.
    beginnings = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    close = [(given, dag_id) for given in beginnings if (dag_id := closest(given, found.dags))]
    where = " in the DAG bundles of Airflow's configuration" if found.is_configured else ""
    if close:
        given, dag_id = max(close, key=lambda pair: likeness(*pair))
        return f"there is no DAG {given!r}{where}: did you mean {dag_id!r}?{_where_else(found)}"
    known = _names(found.dags) if found.dags else "no DAGs"
    return f"there is no DAG {beginnings[-1]!r}{where}: there are {known}{_where_else(found)}"


def _where_else(found: Catalog) -> str:
    """Return the end of a message about DAGs that were not found: where else the DAGs may be."""
    unread = (
        "\nDAGs may be missing, because Airflow can't import a file: see the warnings above" if found.broken else ""
    )
    return unread + ("\nTo read other DAGs, name a DAG file or a folder with --dags" if found.is_configured else "")


def _names(dags: Collection[str]) -> str:
    named = ", ".join(list(dags)[:MAX_NAMED])
    return (
        named
        if len(dags) <= MAX_NAMED
        else f"{named} and {len(dags) - MAX_NAMED} more, which `mljob-airflow list` shows"
    )


def _existing(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{text} does not exist")
    return path.resolve()


def _assignment(text: str) -> tuple[str, str]:
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not PARAM=VALUE")
    return path, value


def _indented(text: str) -> str:
    return "".join(f"\n    {line}" for line in text.strip().splitlines())


def _print(text: str) -> None:
    print(text, file=sys.stderr)
