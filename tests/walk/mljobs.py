"""Generates MLJobs for a test that edits MLJobs and rolls the edits back (:mod:`tests.walk`).

After the test, an edited MLJob must be in the same state as an MLJob that was never edited. Two
kinds of edits would prevent this:

- Edits of the fields that end an MLJob or its run (``suspend``, ``cancel``, the deadlines,
  ``backoffLimit``), because an ended MLJob or run does not continue. The generated edits don't
  change these fields. They don't change ``outputs`` either, which are read when the run ends.
- Edits of an MLJob with ``runPolicy: Once``. Such an MLJob runs only the spec that was submitted
  first. The test does not compare such an MLJob if it ran its edited spec.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

from .airflow import DAGS, DAYS, FAILS, MISSING, WAITS
from .generate import Choice, Generator, fixed
from .users import Object, Spec
from .walk import Comparison, Edit, changed, seen, spec_schema

CONFIG_MAP, SECRET = "walk-settings", "walk-login"
"""Existing sources of conf. ``confFrom`` may name other objects, which don't exist."""
WITHIN_DAYS = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00+00:00", "2026-01-02T23:59:59.5+01:00")
SOON, NEVER = 2, 2**31 - 1
"""Seconds of a deadline that passes during the walk, and of a deadline that doesn't."""
SETTLES_WITHIN = 3600
"""A deadline of at least this many seconds doesn't pass during a walk."""
ENOUGH_RETRIES = 20
"""More retries than an MLJob reaches during a walk, because the pauses between retries grow."""
KEPT = ("suspend", "cancel", "activeDeadlineSeconds", "preRunningDeadlineSeconds", "backoffLimit", "outputs", "type")
"""Fields that an edit keeps."""
STOPPED = {"Suspended", "DeadlineExceeded", "PreRunningDeadlineExceeded", "CancelRequested"}
"""Reasons of MLJobs that a user or a deadline ended, in whatever state their run was."""
OUTCOMES = {
    "AirflowInstanceNotFound",
    "BackoffLimitExceeded",
    "CancelRequested",
    "DagNotFound",
    "DagPaused",
    "DeadlineExceeded",
    "PreRunningDeadlineExceeded",
    "ReferenceMissing",
    "RetryBackoff",
    "Succeeded",
    "Suspended",
    "TaskFailed",
    "TaskRunning",
    "ValidationFailed",
}
"""Reasons of the status that every walk reaches."""

COMMON = ("backoffLimit", "runPolicy", "type")
"""Fields that at least half of the MLJobs have, because the path of an MLJob depends on them."""
HINTS: dict[str, Choice] = {
    ".type": fixed("Training", "Inference", "Backfill"),
    ".dagId": fixed(*DAGS, *DAGS, FAILS, FAILS, MISSING),
    ".confFrom[].configMapRef.name": fixed(CONFIG_MAP, CONFIG_MAP, CONFIG_MAP, "nobody-made-it"),
    ".confFrom[].secretRef.name": fixed(SECRET, SECRET, SECRET, "nobody-made-it"),
    ".confFrom[].outputsRef.name": fixed("nobody-made-it"),
    ".suspend": fixed(False, False, False, True),
    ".cancel": fixed(False, False, False, False, True),
    ".backoffLimit": fixed(0, 0, 1, 1000),
    ".activeDeadlineSeconds": fixed(SOON, NEVER, NEVER),
    ".preRunningDeadlineSeconds": fixed(SOON, NEVER, NEVER),
    ".ttlSecondsAfterFinished": fixed(0, NEVER, NEVER),
    ".cancellation.timeoutSeconds": fixed(600, 86400),
    ".backfill.from": fixed(WITHIN_DAYS[0]),
    ".backfill.to": fixed(*WITHIN_DAYS),
    ".outputs[].taskId": fixed("first", "last", "nobody"),
}


def edits(seed: int) -> Iterator[Edit]:
    """Yield random edits of MLJobs, without end. The API server refuses the specs of some edits."""
    rng = random.Random(seed)
    schema, generator = spec_schema("mljobs"), Generator(rng, HINTS)
    for number in itertools.count():
        common = {
            name: generator.value(schema["properties"][name], f".{name}") for name in COMMON if rng.random() < 0.5
        }
        first = _sure(common | generator.some(schema, rng.choice((0.1, 0.2, 0.5))), number)
        other = generator.some(schema, rng.choice((0.2, 0.5)))
        yield Edit(first, _sure(changed(rng, first, other, kept=KEPT, needed=schema["required"]), number))


LEFT_OUT = {"logicalDate"}
"""Fields that no spec of a walk has: a DAG has one run of a logical date, and each spec has three
MLJobs.
"""


def _sure(spec: Spec, number: int) -> Spec:
    """Return a copy of a generated spec. The copy lacks some values that the API server refuses,
    and values that make the last state of the MLJob depend on timing.
    """
    spec = dict(spec)
    for name in LEFT_OUT:
        spec.pop(name, None)
    if spec.get("type") == "Backfill":
        backfill = spec.setdefault("backfill", {"from": WITHIN_DAYS[0], "to": WITHIN_DAYS[1]})
        few = {backfill["from"], backfill["to"]} <= set(WITHIN_DAYS)
        # Other ranges would create thousands of runs, so they name a DAG without a schedule.
        spec["dagId"] = DAYS[number % len(DAYS)] if few else DAGS[number % len(DAGS)]
        # A backfill can't have these fields.
        spec.pop("outputs", None)
        spec.pop("retryStrategy", None)
    else:
        spec.pop("backfill", None)
    if spec.get("backoffLimit", 0) > 1:
        spec["backoffLimit"] = max(spec["backoffLimit"], ENOUGH_RETRIES)
    if not spec.get("conf", True):
        # The API server's Server-Side Apply replaces a conf that loses all of its fields with null,
        # and refuses it.
        del spec["conf"]
    if _deadline(spec) < SETTLES_WITHIN:
        spec["dagId"] = MISSING
    return spec


def _deadline(spec: Spec) -> int:
    return min(int(spec.get(name, NEVER)) for name in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"))


def finished(body: Object) -> bool:
    ended = body.get("status", {}).get("phase") in ("Succeeded", "Failed", "Cancelled")
    return ended and not body["metadata"].get("finalizers")


def settled(body: Object) -> bool:
    """Return whether the MLJob has reached its last state in the test.

    An MLJob whose runs always fail counts as settled while it waits for its next attempt, if its
    ``backoffLimit`` allows more attempts than fit into the test.
    """
    status, spec = body.get("status", {}), body["spec"]
    if not seen(body):
        return False
    if waits(body):
        return True
    match status.get("phase"), status.get("reason"):
        case "Suspended", _:
            return True
        case "Pending", "RetryBackoff":
            return bool(spec["backoffLimit"] >= ENOUGH_RETRIES)
        case "Pending", reason:
            return (
                reason not in ("Submitting", "AirflowUnavailable", "BackfillActive")
                and _deadline(spec) >= SETTLES_WITHIN
            )
        case "Queued", reason:
            return bool(reason == "DagPaused")
        case "Running", _:
            return bool(status["dagId"] == WAITS and status.get("taskCounts", {}).get("running"))
        case _:
            return finished(body) and spec.get("ttlSecondsAfterFinished") != 0


def waits(body: Object) -> bool:
    """Return whether a finished MLJob has a changed spec that has not run yet. Return False if
    ``runPolicy: Once`` refuses the changed spec.
    """
    return finished(body) and any(
        condition["type"] == "SpecApplied" and condition["reason"] != "RunPolicyOnce"
        for condition in body["status"]["conditions"]
    )


def applied(body: Object) -> bool:
    return all(condition["type"] != "SpecApplied" for condition in body["status"]["conditions"])


def ended_otherwise(one: Comparison) -> bool:
    """Return whether the test leaves out this comparison, for one of these reasons:

    - The edited MLJob has not run the spec to which it was rolled back.
    - Only the edited MLJob was deleted, because its ``ttlSecondsAfterFinished`` is 0.
    """
    if one.rolled_back is None:
        return one.fresh is not None and one.fresh["spec"].get("ttlSecondsAfterFinished") == 0
    return not applied(one.rolled_back)


def reason(body: Object) -> str:
    return str(body["status"]["reason"])


def outcome(body: Object) -> Object:
    """Return the fields that must be equal in an edited and in a never edited MLJob."""
    status = body["status"]
    found: Object = {
        "spec": body["spec"],
        "phase": status["phase"],
        "reason": status["reason"],
        "conditions": sorted((c["type"], c["reason"]) for c in status["conditions"] if c["status"] == "True"),
    }
    if status["phase"] == "Pending":
        # The other fields belong to an earlier attempt, if there was one.
        return found | {"message": _timeless(status["message"])}
    found["finalizers"] = body["metadata"].get("finalizers")
    if status["reason"] in STOPPED:
        return found
    found |= {"dagId": status.get("dagId"), "specHash": status.get("specHash")}
    if body["spec"]["type"] == "Backfill":
        return found
    tasks = sorted((task["taskId"], task["state"]) for task in status.get("tasks", ()))
    counted = ("dagRunState", "progress", "percent", "currentTask", "taskCounts", "outputs", "outputsOmitted")
    return (
        found | {name: status.get(name) for name in counted} | {"tasks": tasks, "message": _timeless(status["message"])}
    )


def _timeless(message: str) -> str:
    return re.sub(
        r"\d\d:\d\d:\d\d UTC|Attempt \d+|(one|up to \d+) more attempts?|walk\.[\w.-]+-\d+|\d+ attempts|at try \d+"
        r"|mljob/[\w.-]+",
        "_",
        message,
    )
