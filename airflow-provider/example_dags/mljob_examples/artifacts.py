"""Artifacts: what jobs leave for each other, in versions that never change: datasets, models, predictions.

A version is named for what it holds and what it was made from, so whoever publishes the same again (a task's second try, say)
publishes nothing new. Beside its files lies a card that says what they are, which job made them, and from which versions of
what; from card to card the way leads from a prediction back to the dataset. ``latest`` is a pointer to one of the versions::

    <MLJOB_DATA_DIR>/models/digits/latest
    <MLJOB_DATA_DIR>/models/digits/3f9c0a51be77/{model.joblib, metrics.json, card.json, card.md}
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
"""What an artifact may be called."""
ENRICHED = "-enriched"
"""What the name of an enriched dataset has behind that of the dataset which it was made from."""
LATEST = "latest"
VERSION = "^(latest|[0-9a-f]{12})$"
"""How a version is asked for: by its name, or as the one that was published last."""


@dataclass(frozen=True)
class Artifact:
    """One version of a dataset, of a model or of predictions."""

    kind: Kind
    name: str
    version: str

    @property
    def path(self) -> Path:
        """The folder of its files."""
        return _home(self.kind, self.name) / self.version

    @property
    def card(self) -> dict[str, Any]:
        """What it says of itself."""
        card: dict[str, Any] = json.loads((self.path / "card.json").read_text())
        return card

    @property
    def parents(self) -> list[Artifact]:
        """What it was made from."""
        return [Artifact(**parent) for parent in self.card["parents"]]

    def file(self, name: str) -> Path:
        """One of its files."""
        return self.path / name

    def as_parent(self) -> dict[str, str]:
        """How a card names it."""
        return {"kind": self.kind, "name": self.name, "version": self.version}


def data_dir() -> Path:
    """Where artifacts live; workers on several machines need a volume that they share."""
    return Path(os.environ.get("MLJOB_DATA_DIR") or Path(tempfile.gettempdir()) / "mljob-data")


def run_dir() -> Path:
    """A folder of this run's own, for what one task hands to the next: two runs for one artifact must not mix their files."""
    path: Path = data_dir() / "runs" / get_current_context()["run_id"]
    path.mkdir(parents=True, exist_ok=True)
    return path


def publish(
    kind: Kind, name: str, files: Mapping[str, Path], *, parents: Iterable[Artifact] = (), **facts: Any
) -> Artifact:
    """Make a version of files, at once and as a whole, and point ``latest`` to it.

    Args:
        kind: What they are.
        name: What it is called.
        files: What each is to be called, and where it is now. They are copied.
        parents: What they were made from.
        facts: What the card is to say beside that: JSON values.
    """
    made_from = [parent.as_parent() for parent in parents]
    sums = {file: hashlib.sha256(path.read_bytes()).hexdigest() for file, path in sorted(files.items())}
    version = hashlib.sha256(json.dumps([sums, made_from]).encode()).hexdigest()[:12]
    artifact = Artifact(kind, name, version)
    artifact.path.parent.mkdir(parents=True, exist_ok=True)
    if not artifact.path.exists():
        # A folder is renamed as a whole, so who looks for a version never sees half of it.
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
            # Somebody else has published the same meanwhile.
            shutil.rmtree(part)
            if not artifact.path.exists():
                raise
    pointer = artifact.path.parent / LATEST
    fresh = pointer.with_name(f".{LATEST}-{version}-{os.getpid()}")
    fresh.write_text(version)
    fresh.replace(pointer)
    return artifact


def find(kind: Kind, name: str, version: str = LATEST) -> Artifact:
    """A version that is there; of ``latest``, the one that it points to now.

    Resolve it once in a run, and hand the version on: ``latest`` may be another one for the next task.
    """
    if version == LATEST:
        version = (_home(kind, name) / LATEST).read_text()
    return Artifact(kind, name, version)


def is_published(kind: Kind, name: str, version: str, *, within: float, otherwise: str) -> bool:
    """Whether a version is there, for a sensor to return; after ``within`` seconds the run fails with ``otherwise``."""
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
    """Statistics of each column of a pandas frame, for the card of a dataset."""
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
    """A card for people: what is one value as a line, what is a list of the like as a table."""
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
