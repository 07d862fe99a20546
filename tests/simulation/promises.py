from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from mljob_contract.mljob import MAX_HISTORY, MLJobStatus
from mljob_operator.core.mljob.outstanding import wants_retry
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.run.states import TERMINAL_PHASES, TRANSITIONS
from tests.fakes.jobs import FakeJobs


class GuardedJobs(FakeJobs):
    """A fake store of MLJobs that checks each status that the operator writes. The status must keep
    promises, for example that an ended attempt does not become active again.

    Attributes:
        broken: Descriptions of the broken promises.
        handled: The values that ``lastHandledRetry`` has had in the MLJob's status, by the MLJob's
            uid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.broken: list[str] = []
        self.handled: dict[str, list[str]] = defaultdict(list)

    async def write_status(self, job: Job, patch: Mapping[str, Any]) -> Job:
        stored = await super().write_status(job, patch)
        broken = [*broken_by_status(job.status, stored.status), *self._broken_by_retry(job, stored)]
        self.broken += [f"{job.name} ({job.uid}): {what}" for what in broken]
        return stored

    def _broken_by_retry(self, job: Job, stored: Job) -> Iterator[str]:
        old, new = job.status, stored.status
        if new.attempts != old.attempts and wants_retry(stored):
            yield f"attempt {new.attempts} begins, and does not handle the retry {stored.retry_request!r}"
        if new.last_handled_retry == old.last_handled_retry:
            return
        if new.last_handled_retry is None:
            yield f"the handled retry {old.last_handled_retry!r} was forgotten"
            return
        if new.last_handled_retry != stored.retry_request:
            yield f"the retry {new.last_handled_retry!r} was handled and not requested"
        if new.last_handled_retry in self.handled[job.uid]:
            yield f"the retry {new.last_handled_retry!r} was handled twice"
        if new.attempts == old.attempts and old.submit_time is not None:
            yield f"attempt {new.attempts} handles {new.last_handled_retry!r}, and was submitted before"
        self.handled[job.uid].append(new.last_handled_retry)


def broken_by_status(old: MLJobStatus, new: MLJobStatus) -> Iterator[str]:
    """Yield a description of each promise that the change from ``old`` to ``new`` breaks."""
    before, after = old.attempts or 0, new.attempts or 0
    if new.phase is None:
        yield "a status without a phase"
    elif new.phase is not old.phase and new.phase not in TRANSITIONS[old.phase]:
        yield f"no transition leads from {old.phase} to {new.phase} ({new.reason})"
    if after not in (before, before + 1):
        yield f"attempt {before} is followed by attempt {after}"
    if old.phase in TERMINAL_PHASES and new.phase is not old.phase and after == before:
        yield f"attempt {after} had ended as {old.phase}, and is {new.phase} again ({new.reason})"
    yield from _broken_by_history(old, new)


def _broken_by_history(old: MLJobStatus, new: MLJobStatus) -> Iterator[str]:
    entries = new.history or []
    numbers = [entry.attempt for entry in entries]
    if numbers != sorted(set(numbers)):
        yield f"the history is in disorder: attempts {numbers}"
    if numbers and numbers[-1] > (new.attempts or 0):
        yield f"the history knows attempt {numbers[-1]}, and the newest is {new.attempts}"
    told = {entry.attempt: entry for entry in old.history or ()}
    for entry in entries:
        if entry.phase not in TERMINAL_PHASES:
            yield f"attempt {entry.attempt} is in the history as {entry.phase}"
        if entry.attempt in told and entry != told[entry.attempt]:
            yield f"the history of attempt {entry.attempt} was rewritten: {told[entry.attempt]} became {entry}"
    lost = {number for number in told if number not in numbers}
    if lost and len(entries) < MAX_HISTORY:
        yield f"the history lost attempts {sorted(lost)}"
    if (new.attempts or 0) > (old.attempts or 0) and old.attempts and old.attempts not in numbers:
        yield f"attempt {old.attempts} is over and not in the history"
