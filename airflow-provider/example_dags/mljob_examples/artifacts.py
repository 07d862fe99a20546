"""Publishes and finds the artifacts that the example DAGs exchange: datasets, models and
predictions.

An artifact has versions, and a version never changes. The parents of a version are the versions
from which the version was made. The name of a version is a hash of the version's files and parents.
The file ``latest`` has the name of the version that was published last::

    <MLJOB_DATA_DIR>/models/digits/latest
    <MLJOB_DATA_DIR>/models/digits/3f9c0a51be77/{model.joblib, metrics.json, card.json, card.md}

``card.json`` and ``card.md`` describe the version, the parents, and the DAG run that made the
version.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from airflow.sdk import get_current_context

from mljob_airflow import is_there, mljob_of

Kind = Literal["datasets", "models", "predictions"]

NAME = "^[a-z0-9][a-z0-9-]{0,62}$"
"""Pattern of an artifact's name."""
ENRICHED = "-enriched"
"""Suffix of the name of an enriched dataset, after the name of the dataset that it was made
from.
"""
LATEST = "latest"
VERSION = "^(latest|[0-9a-f]{12})$"
"""Pattern of a version: the version's name, or ``latest`` for the version that was published
last.
"""


@dataclass(frozen=True)
class Artifact:
    """A version of a dataset, a model or predictions."""

    kind: Kind
    name: str
    version: str

    @property
    def path(self) -> Path:
        """The folder with the version's files."""
        return _home(self.kind, self.name) / self.version

    @property
    def card(self) -> dict[str, Any]:
        """The contents of ``card.json``, which describes the version."""
        card: dict[str, Any] = json.loads((self.path / "card.json").read_text())
        return card

    @property
    def parents(self) -> list[Artifact]:
        """The versions that this version was made from."""
        return [Artifact(**parent) for parent in self.card["parents"]]

    def file(self, name: str) -> Path:
        """Return the path of the version's file ``name``."""
        return self.path / name

    def as_parent(self) -> dict[str, str]:
        """Return this version as an entry of the list ``parents`` in ``card.json``."""
        return {"kind": self.kind, "name": self.name, "version": self.version}


def data_dir() -> Path:
    """Return the folder for all artifacts: the value of ``MLJOB_DATA_DIR``, by default
    ``mljob-data`` in the temporary folder. Workers on several machines need a shared volume for
    this folder.
    """
    return Path(os.environ.get("MLJOB_DATA_DIR") or Path(tempfile.gettempdir()) / "mljob-data")


def run_dir() -> Path:
    """Create and return the folder for the files that tasks of the run exchange. Each run of each
    DAG has its own folder.
    """
    run = get_current_context()["dag_run"]
    path: Path = data_dir() / "runs" / run.dag_id / run.run_id
    path.mkdir(parents=True, exist_ok=True)
    return path


def publish(
    kind: Kind, name: str, files: Mapping[str, Path], *, parents: Iterable[Artifact] = (), **facts: Any
) -> Artifact:
    """Publish files as a version, write the version's name to ``latest``, and return the version.

    Args:
        kind: The kind of artifact.
        name: The artifact's name.
        files: The path of each file, by the file's name in the version. The files are copied.
        parents: The versions from which the files were made.
        facts: More entries of ``card.json``, as JSON values. If a version with the same files
            and parents exists already, its ``card.json`` does not change.
    """
    made_from = [parent.as_parent() for parent in parents]
    sums = {file: hashlib.sha256(path.read_bytes()).hexdigest() for file, path in sorted(files.items())}
    version = hashlib.sha256(json.dumps([sums, made_from]).encode()).hexdigest()[:12]
    artifact = Artifact(kind, name, version)
    artifact.path.parent.mkdir(parents=True, exist_ok=True)
    if not artifact.path.exists():
        # Make the version in a temporary folder, and then rename the folder. Renaming is atomic, so
        # no reader sees an incomplete version.
        part = Path(tempfile.mkdtemp(prefix=f".{version}-", dir=artifact.path.parent))
        part.chmod(0o755)
        for file, path in files.items():
            shutil.copyfile(path, part / file)
        card = {
            "kind": kind,
            "name": name,
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "created_by": _made_by(),
            "parents": made_from,
            "sha256": sums,
            **facts,
        }
        (part / "card.json").write_text(json.dumps(card, indent=2))
        (part / "card.md").write_text(as_markdown(card))
        for path in part.iterdir():
            path.chmod(0o444)
        try:
            part.rename(artifact.path)
        except OSError:
            # Another task has published the same version meanwhile.
            shutil.rmtree(part)
            if not artifact.path.exists():
                raise
    pointer = artifact.path.parent / LATEST
    fresh = pointer.with_name(f".{LATEST}-{version}-{os.getpid()}")
    fresh.write_text(version)
    fresh.replace(pointer)
    return artifact


def find(kind: Kind, name: str, version: str = LATEST) -> Artifact:
    """Return a version of an artifact, without a check that the version exists.

    ``latest`` means the version that was published last, and may change during a run. So only one
    task of a run should call this function with ``latest``, and pass the version to the other
    tasks.

    Raises:
        FileNotFoundError: ``version`` is ``latest``, and the artifact has no version.
    """
    if version == LATEST:
        version = (_home(kind, name) / LATEST).read_text()
    return Artifact(kind, name, version)


def is_published(kind: Kind, name: str, version: str, *, within: float, otherwise: str) -> bool:
    """Return whether a version exists. For ``latest``, return whether any version exists.

    Args:
        kind: The kind of artifact.
        name: The artifact's name.
        version: The version's name, or ``latest``.
        within: The number of seconds, from the start of the run, after which a missing version is
            an error.
        otherwise: The end of the error message.

    Raises:
        AirflowFailException: The version does not exist, and the time ``within`` is over.
    """
    return is_there(_home(kind, name) / version, within=within, otherwise=otherwise)


def _home(kind: Kind, name: str) -> Path:
    return data_dir() / kind / name


def _made_by() -> dict[str, str]:
    context = get_current_context()
    run = context["dag_run"]
    mljob = mljob_of(run.run_id, run.conf)
    by = {"dag_id": run.dag_id, "run_id": run.run_id}
    return {**by, "mljob": f"{mljob.namespace}/{mljob.name}"} if mljob else by


def describe_columns(frame: Any) -> list[dict[str, Any]]:
    """Return statistics of each column of a pandas frame. All columns must be numeric."""
    return [
        {
            "column": str(name),
            "type": str(values.dtype),
            "missing": int(values.isna().sum()),
            "distinct": int(values.nunique()),
            **{word: round(float(getattr(values, word)()), 4) for word in ("mean", "std", "min", "max")},
        }
        for name, values in frame.items()
    ]


def as_markdown(card: Mapping[str, Any]) -> str:
    """Return a card as Markdown: a line for each value, and a table for each list of objects."""
    lines = [f"# {card['name']} {card['version']}", ""]
    tables = []
    for name, value in card.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            head = list(value[0])
            rows = [head, ["---"] * len(head), *([str(row[column]) for column in head] for row in value)]
            tables += ["", f"## {name}", "", *(f"| {' | '.join(row)} |" for row in rows)]
        elif isinstance(value, Mapping):
            lines += [f"- {name}: " + ", ".join(f"{key} {item}" for key, item in value.items())]
        else:
            lines += [f"- {name}: {value}"]
    return "\n".join([*lines, *tables]) + "\n"
