"""MLJobs of a walk: what is applied, what it is edited to, and what of its last state has to be the same however it came there.

An MLJob's state depends on its past where the API says so, and nowhere else:

- A finished MLJob has finished, and a run that was cancelled is lost. So an edit touches nothing that ends an MLJob otherwise than its first spec
  would: ``suspend``, ``cancel``, deadlines, ``backoffLimit``, and ``outputs``, which are read when the run ends.
- With ``runPolicy: Once`` the spec that was submitted first counts. Where that was the edited one, the condition SpecApplied is False.
- Attempts are counted, runs have ids, and times are times: none of them is compared, nor what follows from how far a run came before it was stopped,
  nor how many runs of its range a backfill found. An MLJob that waits for its next attempt says of the last one what there is to say.
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
"""They are there; others that ``confFrom`` may name are not."""
WITHIN_DAYS = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00+00:00", "2026-01-02T23:59:59.5+01:00")
SOON, NEVER = 2, 2**31 - 1
"""Seconds of a deadline that passes during the walk, and of one that doesn't."""
SETTLES_WITHIN = 3600
"""Seconds; no walk takes that long."""
ENOUGH_RETRIES = 20
"""More than an MLJob comes to in a walk: the pauses between retries grow."""
KEPT = ("suspend", "cancel", "activeDeadlineSeconds", "preRunningDeadlineSeconds", "backoffLimit", "outputs", "type")
"""What an edit leaves as it is."""
STOPPED = {"Suspended", "DeadlineExceeded", "PreRunningDeadlineExceeded", "CancelRequested"}
"""Reasons of an end that came to a run from outside, wherever it was."""
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
"""Reasons of the status that every walk comes to."""

COMMON = ("backoffLimit", "runPolicy", "type")
"""Fields that half of the MLJobs have at least: the way of an MLJob depends on them."""
HINTS: dict[str, Choice] = {
    ".type": fixed("Training", "Inference", "Backfill"),
    ".dagId": fixed(*DAGS, *DAGS, FAILS, FAILS, MISSING),
    ".confFrom[].configMapRef.name": fixed(CONFIG_MAP, CONFIG_MAP, CONFIG_MAP, "nobody-made-it"),
    ".confFrom[].secretRef.name": fixed(SECRET, SECRET, SECRET, "nobody-made-it"),
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
    """Without end; not all of them are accepted by the API server."""
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
"""Fields that no spec of a walk has: a DAG has one run of a date, and there are two MLJobs of each spec."""


def _sure(spec: Spec, number: int) -> Spec:
    """A spec whose MLJob comes to the same whatever is faster: a run or a deadline, one backfill or another, a retry or who looks."""
    spec = dict(spec)
    for name in LEFT_OUT:
        spec.pop(name, None)
    if spec.get("type") == "Backfill":
        backfill = spec.setdefault("backfill", {"from": WITHIN_DAYS[0], "to": WITHIN_DAYS[1]})
        few = {backfill["from"], backfill["to"]} <= set(WITHIN_DAYS)
        # Others ask for thousands of runs, of a DAG that has no schedule.
        spec["dagId"] = DAYS[number % len(DAYS)] if few else DAGS[number % len(DAGS)]
        # A backfill can't have them.
        spec.pop("outputs", None)
        spec.pop("retryStrategy", None)
    else:
        spec.pop("backfill", None)
    if spec.get("backoffLimit", 0) > 1:
        spec["backoffLimit"] = max(spec["backoffLimit"], ENOUGH_RETRIES)
    if not spec.get("conf", True):
        # The API server's Server-Side Apply makes null of a conf that loses all of its fields, and refuses it.
        del spec["conf"]
    if _deadline(spec) < SETTLES_WITHIN:
        spec["dagId"] = MISSING
    return spec


def _deadline(spec: Spec) -> int:
    return min(int(spec.get(name, NEVER)) for name in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"))


def finished(body: Object) -> bool:
    """Whether it has finished, and nothing of ours holds it."""
    ended = body.get("status", {}).get("phase") in ("Succeeded", "Failed", "Cancelled")
    return ended and not body["metadata"].get("finalizers")


def settled(body: Object) -> bool:
    """Whether nothing but somebody's doing will change it, as far as its status says."""
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
    """Whether it has finished, and something else than ``runPolicy: Once`` keeps it from running its changed spec."""
    return finished(body) and any(
        condition["type"] == "SpecApplied" and condition["reason"] != "RunPolicyOnce"
        for condition in body["status"]["conditions"]
    )


def applied(body: Object) -> bool:
    """Whether what runs, or has run, is what the spec says."""
    return all(condition["type"] != "SpecApplied" for condition in body["status"]["conditions"])


def ended_otherwise(one: Comparison) -> bool:
    """Whether the story of the one that was rolled back was over before the rollback could count."""
    if one.rolled_back is None:
        return one.fresh is not None and one.fresh["spec"].get("ttlSecondsAfterFinished") == 0
    return not applied(one.rolled_back)


def reason(body: Object) -> str:
    """Why it is in its phase."""
    return str(body["status"]["reason"])


def outcome(body: Object) -> Object:
    """What has to be the same in an MLJob that was edited and rolled back and in one that never was."""
    status = body["status"]
    found: Object = {
        "spec": body["spec"],
        "phase": status["phase"],
        "reason": status["reason"],
        "conditions": sorted((c["type"], c["reason"]) for c in status["conditions"] if c["status"] == "True"),
    }
    if status["phase"] == "Pending":
        # The rest is of an earlier attempt, where there was one.
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
    """A message without times of day, attempts' numbers and run ids."""
    return re.sub(
        r"\d\d:\d\d:\d\d UTC|Attempt \d+|(one|up to \d+) more attempts?|walk\.[\w.-]+-\d+|\d+ attempts|at try \d+",
        "_",
        message,
    )
