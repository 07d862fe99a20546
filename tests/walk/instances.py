"""AirflowInstances of a walk. What an AirflowInstance is depends on nothing that it was before, but for the version that it remembers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from .generate import Choice, Generator, fixed
from .users import Object
from .way import Way, edited, spec_schema

RIGHT, WRONG = "walk-right", "walk-wrong"
"""Secrets that are there; others that an AirflowInstance may name are not."""
NOBODY_LISTENS = ("http://127.0.0.1:9", "https://127.0.0.1:9/airflow")
NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"


def ways(seed: int, url: str, suffix: str) -> Iterator[Way]:
    """Without end; not all of them are accepted by the API server. ``url`` is an Airflow's."""
    rng = random.Random(seed)
    hints: dict[str, Choice] = {
        ".credentials.passwordSecretRef.name": fixed(RIGHT, RIGHT, RIGHT, WRONG),
        ".credentials.passwordSecretRef.userKey": fixed("user"),
        ".credentials.passwordSecretRef.passwordKey": fixed("password"),
        ".tls.caBundle": fixed(NO_CERTIFICATE),
    }
    schema, generator = spec_schema("airflowinstances"), Generator(rng, hints)
    number = 0
    while True:
        number += 1
        specs = [generator.some(schema, rng.choice((0.1, 0.4, 0.8))) for _ in range(2)]
        for spec in specs:
            # Names that nobody has are asked of a name server, which is not for a test to bother.
            spec["url"] = rng.choice((url, url, f"{url}/", *NOBODY_LISTENS))
        yield Way(f"walk-{suffix}-{number}", specs[0], edited(rng, *specs, kept=()), hasty=rng.random() < 0.5)


def settled(body: Object) -> bool:
    """Whether the operator has looked at it as it is, as far as its status says."""
    status = body.get("status", {})
    seen = status.get("observedGeneration") == body["metadata"]["generation"]
    return seen and all(condition["reason"] != "NotAskedYet" for condition in status.get("conditions", ()))


def outcome(body: Object) -> dict[str, Any]:
    """What has to be the same in one that was edited and rolled back and in one that never was."""
    conditions = body["status"]["conditions"]
    return {
        "spec": body["spec"],
        "finalizers": body["metadata"].get("finalizers"),
        "conditions": sorted(
            (found["type"], found["status"], found["reason"], found["message"]) for found in conditions
        ),
        "health": body["status"].get("health"),
    }
