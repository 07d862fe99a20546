"""The walk: objects that are edited and rolled back, beside fresh ones with the same spec."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .generate import Schema
from .users import Object, Spec, Users

OBJECTS = int(os.environ.get("WALK_OBJECTS", "500"))
"""How many objects are edited and rolled back; there are half as many fresh ones beside them."""
INSTANCES = OBJECTS // 5
"""How many of them are AirflowInstances."""
SEED = int(os.environ.get("WALK_SEED", "1"))
"""The same number is the same walk."""
TIMEOUT = 240 + OBJECTS
"""Seconds that may pass until what is waited for is so; they cost time only where it fails."""

CRDS = Path(__file__).parents[2] / "crds"
KINDS = ("fresh", "hasty", "patient")


@dataclass(frozen=True)
class Edit:
    """What is applied of one object.

    Attributes:
        spec: What it is created with, and rolled back to.
        edited: What it is edited to in between.
    """

    spec: Spec
    edited: Spec


@dataclass(frozen=True)
class Comparison:
    """Two objects with the same spec as they are when they have settled; None: it has been deleted by then.

    Attributes:
        name: Of the one that was edited.
        fresh: The one that was created and left alone.
        rolled_back: The one that was edited and rolled back.
    """

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
    """Edit objects and roll them back, and wait until all have settled.

    For each edit there are three objects: a fresh one, one that is edited and rolled back at once (hasty), and one for which the operator has time to act
    on each step (patient).

    Args:
        edits: More than are wanted: the API server refuses some.
        count: How many objects are to be edited.
        settled: Whether nothing will change an object any more.
        meanwhile: Called while the operator is busy with the objects.
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
    """In which fields two objects differ: by name and field, what the fresh one has and what the other one has."""
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
    """What tells of a defect in an operator's log: errors, what is unexpected at whichever level, and lines that no logger wrote."""
    printed = [line for line in log if line.strip() and not line.startswith(("{", "---"))]
    logged = [
        record
        for record in records
        if record["level"] in ("error", "critical") or "unexpected" in record["message"] or "exception" in record
    ]
    return [*printed, *logged]


def spec_schema(plural: str) -> Schema:
    """What a CRD says of ``spec``."""
    crd = yaml.safe_load((CRDS / f"{plural}.mljob.dev.yaml").read_text(encoding="utf-8"))
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def changed(
    rng: random.Random, spec: Spec, other: Spec, *, kept: Collection[str] = (), needed: Collection[str]
) -> Spec:
    """A spec with some fields of another one, and without some of its own.

    Args:
        kept: Fields that stay as they are.
        needed: Fields that are not left out.
    """
    free = [name for name in other if name not in kept]
    edited = spec | {name: other[name] for name in rng.sample(free, min(2, len(free)))}
    return {name: value for name, value in edited.items() if name in (*kept, *needed) or rng.random() < 0.8}


def _created(users: Users, edits: Iterator[Edit], count: int) -> dict[int, Edit]:
    """Create three objects for each of so many edits whose spec the API server accepts; the edits by number."""
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
    """One whose edit the API server refuses stays as it is."""
    users.apply({f"{kind}-{number}": edit.edited for number, edit in made.items()})


def _roll_back(users: Users, made: Mapping[int, Edit], kind: str) -> None:
    refused = users.apply({f"{kind}-{number}": edit.spec for number, edit in made.items()})
    assert not refused, refused


def _names(made: Iterable[int], *kinds: str) -> list[str]:
    return [f"{kind}-{number}" for kind in kinds for number in made]


def seen(body: Object) -> bool:
    """Whether the operator has looked at the spec as it is, also if the spec has to wait."""
    status = body.get("status", {})
    generations = [told.get("observedGeneration") for told in (status, *status.get("conditions", ()))]
    return body["metadata"]["generation"] in generations
