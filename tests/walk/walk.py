"""Edits Kubernetes objects, rolls the edits back, and compares the states of the objects with the
states of objects that were never edited.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import libyaml

from .generate import Schema
from .users import Object, Spec, Users

OBJECTS = int(os.environ.get("WALK_OBJECTS", "500"))
"""The number of objects that are edited and rolled back. There are half as many fresh objects."""
INSTANCES = OBJECTS // 5
"""The number of AirflowInstances among the ``OBJECTS``."""
SEED = int(os.environ.get("WALK_SEED", "1"))
"""The seed of the random choices. The same seed generates the same walk."""
TIMEOUT = 240 + OBJECTS
"""Seconds until a condition must be met; only a failing walk takes that long."""

CRDS = Path(__file__).parents[2] / "crds"
KINDS = ("fresh", "hasty", "patient")


@dataclass(frozen=True)
class Edit:
    """Two specs of an object. The object is created with ``spec``, changed to ``edited``, and then
    rolled back to ``spec``.
    """

    spec: Spec
    edited: Spec


@dataclass(frozen=True)
class Comparison:
    """The last states of two objects with the same spec. None stands for a deleted object."""

    name: str
    fresh: Object | None
    rolled_back: Object | None


def walk(
    users: Users,
    edits: Iterator[Edit],
    count: int,
    settled: Callable[[Object], bool],
    meanwhile: Callable[[], None] = lambda: None,
) -> list[Comparison]:
    """Create objects, edit some of them, and roll the edits back. Wait until the objects have
    reached their last states.

    Each edit gets three objects with the same spec:

    - The fresh object is never edited.
    - The hasty object is edited and rolled back at once.
    - The patient object is edited and rolled back too. Before each of these two changes, the test
      waits until the operator has acted on the object.

    Args:
        edits: The edits. If the API server refuses an edit's ``spec``, the edit is skipped.
        count: The number of objects to edit. Each edit is made to two objects, so half as many
            edits are used.
        settled: Returns whether an object has reached its last state.
        meanwhile: Called while the operator is busy with the objects.

    Returns:
        For each edit, a comparison of the hasty object with the fresh object, and a comparison of
        the patient object with the fresh object.
    """
    made = _created(users, edits, count // 2)
    meanwhile()
    _edit(users, made, "hasty")
    _roll_back(users, made, "hasty")
    users.until(seen, _names(made, "patient"), "the operator acts on what was created")
    _edit(users, made, "patient")
    meanwhile()
    users.until(seen, _names(made, "patient"), "the operator acts on what was edited")
    _roll_back(users, made, "patient")
    meanwhile()
    found = users.until(settled, _names(made, *KINDS), "all settle")
    return [
        Comparison(f"{kind}-{number}", found[f"fresh-{number}"], found[f"{kind}-{number}"])
        for number in made
        for kind in ("hasty", "patient")
    ]


def differences(
    compared: Iterable[Comparison], outcome: Callable[[Object], Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the fields that differ between the two objects of a comparison, for all comparisons.

    The result has a dict for each comparison whose objects differ, by the name of the comparison.
    This dict has a pair for each differing field, by the name of the field: the value in the fresh
    object, and the value in the other object.

    Args:
        compared: The comparisons.
        outcome: Returns the fields to compare.
    """
    found = {}
    for one in compared:
        fresh, rolled_back = (
            outcome(body) if body is not None else {"deleted": True} for body in (one.fresh, one.rolled_back)
        )
        differing = {
            field: (fresh.get(field), rolled_back.get(field))
            for field in fresh.keys() | rolled_back.keys()
            if fresh.get(field) != rolled_back.get(field)
        }
        if differing:
            found[one.name] = differing
    return found


def surprises(log: Iterable[str], records: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return the parts of an operator's log that point to a defect: each line that is neither JSON
    nor a separator (``---``), and each entry about an error, an exception or something unexpected.

    Args:
        log: The lines of the log.
        records: The entries of the log, parsed from JSON.
    """
    printed = [line for line in log if line.strip() and not line.startswith(("{", "---"))]
    logged = [
        record
        for record in records
        if record["level"] in ("error", "critical") or "unexpected" in record["message"] or "exception" in record
    ]
    return [*printed, *logged]


def spec_schema(plural: str) -> Schema:
    crd = libyaml.load((CRDS / f"{plural}.mljob.dev.yaml").read_text(encoding="utf-8"))
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def changed(
    rng: random.Random, spec: Spec, other: Spec, *, kept: Collection[str] = (), needed: Collection[str]
) -> Spec:
    """Return a copy of ``spec`` with random changes: at most two fields get their values from
    ``other``, and some fields are left out.

    Args:
        kept: The names of the fields that are neither changed nor left out.
        needed: The names of the fields that may change, but are not left out.
    """
    free = [name for name in other if name not in kept]
    edited = spec | {name: other[name] for name in rng.sample(free, min(2, len(free)))}
    return {name: value for name, value in edited.items() if name in (*kept, *needed) or rng.random() < 0.8}


def _created(users: Users, edits: Iterator[Edit], count: int) -> dict[int, Edit]:
    made: dict[int, Edit] = {}
    numbers = itertools.count(1)
    while len(made) < count:
        batch = {next(numbers): edit for edit in itertools.islice(edits, count - len(made))}
        refused = users.apply({f"fresh-{number}": edit.spec for number, edit in batch.items()})
        accepted = {number: edit for number, edit in batch.items() if f"fresh-{number}" not in refused}
        for kind in ("hasty", "patient"):
            _roll_back(users, accepted, kind)
        made |= accepted
    return made


def _edit(users: Users, made: Mapping[int, Edit], kind: str) -> None:
    users.apply({f"{kind}-{number}": edit.edited for number, edit in made.items()})


def _roll_back(users: Users, made: Mapping[int, Edit], kind: str) -> None:
    refused = users.apply({f"{kind}-{number}": edit.spec for number, edit in made.items()})
    assert not refused, refused


def _names(made: Iterable[int], *kinds: str) -> list[str]:
    return [f"{kind}-{number}" for kind in kinds for number in made]


def seen(body: Object) -> bool:
    status = body.get("status", {})
    generations = [told.get("observedGeneration") for told in (status, *status.get("conditions", ()))]
    return body["metadata"]["generation"] in generations
