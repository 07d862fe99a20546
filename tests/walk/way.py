"""The way of one object: it is created, edited and rolled back."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .generate import Schema
from .users import Users, side_by_side

Spec = dict[str, Any]

CRDS = Path(__file__).parents[2] / "crds"


@dataclass(frozen=True)
class Way:
    """One object's.

    Attributes:
        first: The spec that it is created with, and that it comes back to.
        second: The spec that it has between.
        hasty: Whether nobody waits for the operator between two steps.
    """

    name: str
    first: Spec
    second: Spec
    hasty: bool


def spec_schema(plural: str) -> Schema:
    """What a CRD says of ``spec``."""
    crd = yaml.safe_load((CRDS / f"{plural}.mljob.dev.yaml").read_text(encoding="utf-8"))
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return schema


def edited(rng: random.Random, first: Spec, other: Mapping[str, Any], kept: Iterable[str]) -> Spec:
    """A spec with some fields of another one, and some that it had left out; those that are ``kept`` are neither changed nor left out."""
    names = [name for name in other if name not in kept]
    second = first | {name: other[name] for name in rng.sample(names, min(len(names), 3))}
    for name in rng.sample(sorted(first), min(len(first), 2)):
        if name not in kept:
            second.pop(name, None)
    return second


async def created(users: Users, candidates: Iterable[Way], count: int) -> tuple[list[Way], Counter[str]]:
    """So many whose first specs the API server accepts, created; and why it refused others."""
    refusals: Counter[str] = Counter()
    ways: list[Way] = []
    candidates = iter(candidates)
    while len(ways) < count:
        batch = list(itertools.islice(candidates, count - len(ways)))
        answers = await side_by_side(users.apply(way.name, way.first) for way in batch)
        ways += [way for way, why in zip(batch, answers, strict=True) if why is None]
        refusals.update(why for why in answers if why)
    return ways, refusals
