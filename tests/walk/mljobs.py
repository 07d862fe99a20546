"""MLJobs of a walk: what is applied, what it is edited to, and what of its last state has to be the same however it came there.

An MLJob's state depends on its past where the API says so, and nowhere else:

- A finished MLJob has finished, and a run that was cancelled is lost. So an edit touches nothing that ends an MLJob otherwise than its first spec
  would: ``suspend``, ``cancel``, deadlines, ``backoffLimit``, and ``outputs``, which are read when the run ends.
- With ``runPolicy: Once`` the spec that was submitted first counts. Where that was the edited one, the condition SpecApplied is False.
- Attempts are counted, runs have ids, and times are times: none of them is compared, nor what follows from how far a run came before it was stopped.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from .airflow import DAGS, DAYS, MISSING, WAITS
from .generate import Choice, Generator, fixed
from .users import Object
from .way import Spec, Way, edited, spec_schema

CONFIG_MAP, SECRET = "walk-settings", "walk-login"
"""They are there; others that ``confFrom`` may name are not."""
WITHIN_DAYS = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00+00:00", "2026-01-02T23:59:59.5+01:00")
SOON, NEVER = 2, 2**31 - 1
"""Seconds of a deadline that passes during the walk, and of one that doesn't."""
SETTLES_WITHIN = 3600
"""Seconds; no walk takes that long."""
KEPT = ("suspend", "cancel", "activeDeadlineSeconds", "preRunningDeadlineSeconds", "backoffLimit", "outputs", "type")
"""What an edit leaves as it is."""
STOPPED = {"Suspended", "Cancelled", "DeadlineExceeded", "PreRunningDeadlineExceeded", "CancelRequested"}
"""Reasons of an end that came to a run from outside, wherever it was."""


HINTS: dict[str, Choice] = {
    ".dagId": fixed(*DAGS, *DAGS, MISSING),
    ".confFrom[].configMapRef.name": fixed(CONFIG_MAP, CONFIG_MAP, "nobody-made-it"),
    ".confFrom[].secretRef.name": fixed(SECRET, SECRET, "nobody-made-it"),
    ".suspend": fixed(False, False, False, True),
    ".cancel": fixed(False, False, False, False, True),
    ".backoffLimit": fixed(0, 0, 5, 1000),
    ".activeDeadlineSeconds": fixed(SOON, NEVER, NEVER),
    ".preRunningDeadlineSeconds": fixed(SOON, NEVER, NEVER),
    ".ttlSecondsAfterFinished": fixed(0, NEVER),
    ".cancellation.timeoutSeconds": fixed(600, 86400),
    ".backfill.from": fixed(*WITHIN_DAYS),
    ".backfill.to": fixed(*WITHIN_DAYS),
    ".outputs[].taskId": fixed("first", "last", "nobody"),
}


def ways(seed: int) -> Iterator[Way]:
    """Without end; not all of them are accepted by the API server."""
    rng = random.Random(seed)
    schema, generator = spec_schema("mljobs"), Generator(rng, HINTS)
    number = 0
    while True:
        number += 1
        first = _settling(generator.some(schema, rng.choice((0.1, 0.3, 0.7))), number)
        second = edited(rng, first, generator.some(schema, rng.choice((0.2, 0.5))), KEPT)
        yield Way(f"walk-{number}", first, _settling(second, number), hasty=rng.random() < 0.5)


def _settling(spec: Spec, number: int) -> Spec:
    """A spec whose MLJob comes to the same whatever is faster: a run or a deadline, one backfill or another, a retry or who looks."""
    spec = dict(spec)
    backfill = spec.get("backfill") or {}
    if spec.get("type") == "Backfill" and {backfill.get("from"), backfill.get("to")} <= set(WITHIN_DAYS):
        # Others ask for thousands of runs, of a DAG that has no schedule.
        spec["dagId"] = DAYS[number % len(DAYS)]
    deadlines = [spec.get(name, NEVER) for name in ("activeDeadlineSeconds", "preRunningDeadlineSeconds")]
    if min(deadlines) < SETTLES_WITHIN:
        spec["dagId"] = MISSING
    return spec


def terminal(body: Object) -> bool:
    """Whether it has finished, and nothing of ours holds it."""
    finished = body.get("status", {}).get("phase") in ("Succeeded", "Failed", "Cancelled")
    return finished and not body["metadata"].get("finalizers")


def settled(body: Object) -> bool:
    """Whether nothing but somebody's doing will change it, as far as its status says."""
    status, meta = body.get("status", {}), body["metadata"]
    if status.get("observedGeneration") != meta["generation"]:
        return False
    match status.get("phase"):
        case "Pending":
            return status["reason"] not in ("Submitting", "AirflowUnavailable", "BackfillActive")
        case "Queued":
            return bool(status["reason"] == "DagPaused")
        case "Running":
            return bool(status["dagId"] == WAITS and status["taskCounts"].get("running"))
        case "Suspended":
            return True
        case _:
            expires = body["spec"].get("ttlSecondsAfterFinished") == 0
            return terminal(body) and not expires


def applied(body: Object) -> bool:
    """Whether what runs, or has run, is what the spec says."""
    return all(c["type"] != "SpecApplied" for c in body.get("status", {}).get("conditions", ()))


def outcome(body: Object) -> Object:
    """What has to be the same in an MLJob that was edited and rolled back and in one that never was."""
    status = body["status"]
    found: Object = {
        "spec": body["spec"],
        "finalizers": body["metadata"].get("finalizers"),
        "phase": status["phase"],
        "reason": status["reason"],
        "conditions": sorted((c["type"], c["reason"]) for c in status["conditions"] if c["status"] == "True"),
    }
    if status["reason"] not in STOPPED:
        found |= {
            name: status.get(name)
            for name in ("dagId", "dagRunState", "specHash", "progress", "percent", "currentTask", "taskCounts")
        }
        found["message"] = _timeless(status["message"])
        found["tasks"] = sorted((task["taskId"], task["state"]) for task in status.get("tasks", ()))
        found["outputs"] = (status.get("outputs"), status.get("outputsOmitted"))
        found["backfill"] = status.get("backfill", {}).get("runs")
    return found


def _timeless(message: str) -> str:
    """A message without times of day, attempts' numbers and run ids."""
    return re.sub(
        r"\d\d:\d\d:\d\d UTC|Attempt \d+|(one|up to \d+) more attempts?|walk\.[\w.-]+-\d+|\d+ attempts|at try \d+",
        "_",
        message,
    )
