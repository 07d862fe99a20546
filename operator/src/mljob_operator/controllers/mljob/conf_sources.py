"""Wakes MLJobs that wait for a ConfigMap or Secret of ``spec.confFrom``: as soon as it appears or changes, the submission is tried again.

Each object that somebody waits for is watched by itself, as the kubelet watches those that its Pods name, and only while an MLJob waits for it. So
no list of all Secrets is needed, and what is not waited for costs nothing. Where the operator may not watch, the backoff of the trouble remains.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from ...core.mljob.state import State
from ...core.run.run_key import Key
from ...errors import OperatorError, ReferenceMissing, ValidationFailed, backoff
from ...ports import ConfObject, SourceChanges

log = logging.getLogger(__name__)

MAX_WATCHES = 100
"""Objects that are watched at a time. MLJobs that wait for others are woken by their backoff alone."""
MAX_WATCHES_OF_A_NAMESPACE = 20
"""So that one team's MLJobs leave room for those of others."""
PAUSE = 1.0
"""Seconds after a wake before the same object wakes again, and before a watch that has ended begins again. An object that somebody changes all the time
wakes less and less often: each time after twice the pause, up to ``MAX_PAUSE``, until it has been quiet for that long.
"""
MAX_PAUSE = 60.0
"""Seconds: the longest pause, and the one after an unexpected error."""
_WAITS = frozenset({ReferenceMissing.reason, ValidationFailed.reason})


@dataclass(slots=True)
class _Watch:
    """A watch of one object.

    Attributes:
        keys: The MLJobs that wait for it.
    """

    task: asyncio.Task[None]
    keys: set[Key] = field(default_factory=set)


class ConfSources:
    """The watches of ConfigMaps and Secrets that MLJobs wait for. Everything runs in the event loop's thread.

    Args:
        changes: Tells when an object appears or changes.
        wake: Called with an MLJob for which the submission is to be tried again.
    """

    def __init__(self, changes: SourceChanges, wake: Callable[[Key], None]) -> None:
        self._changes = changes
        self._wake = wake
        self._watches: dict[ConfObject, _Watch] = {}
        self._followed: dict[Key, frozenset[ConfObject]] = {}
        self._closed = False

    def follow(self, key: Key, references: Iterable[ConfObject]) -> None:
        """An MLJob waits for these, and for no others any more.

        An MLJob that joins a watch is woken once: the object may have changed between the MLJob's reading and now. So it is with a new watch, which
        tells at first of an object that is there.
        """
        if self._closed:
            return
        before, wanted = self._followed.pop(key, frozenset()), frozenset(references)
        for reference in before - wanted:
            watch = self._watches[reference]
            watch.keys.discard(key)
            if not watch.keys:
                watch.task.cancel()
                del self._watches[reference]
        joins = wanted & self._watches.keys() - before
        followed = frozenset(reference for reference in sorted(wanted) if self._has_watch(reference))
        for reference in followed:
            self._watches[reference].keys.add(key)
        if followed:
            self._followed[key] = followed
        if joins:
            asyncio.get_running_loop().call_later(PAUSE, self._wake, key)

    async def close(self) -> None:
        """End all watches, and begin no other."""
        self._closed = True
        tasks = [watch.task for watch in self._watches.values()]
        self._watches.clear()
        self._followed.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _has_watch(self, reference: ConfObject) -> bool:
        """Whether the object is watched, after a watch was begun if there is room for another one."""
        if reference in self._watches:
            return True
        of_namespace = Counter(other.namespace for other in self._watches)[reference.namespace]
        if len(self._watches) >= MAX_WATCHES or of_namespace >= MAX_WATCHES_OF_A_NAMESPACE:
            return False
        task = asyncio.create_task(self._watch(reference), name=f"watch {reference}")
        self._watches[reference] = _Watch(task)
        return True

    async def _watch(self, reference: ConfObject) -> None:
        failures = 0
        while True:
            try:
                async with aclosing(self._changes.of(reference)) as changes:
                    await self._wake_by(reference, changes)
                failures = 0
            except OperatorError as error:
                failures += 1
                if failures == 1:
                    log.info("changes of %s are not seen at once: %s", reference, error)
                await asyncio.sleep(backoff(error, failures))
            except Exception:
                # A defect must not end the watch, nor be silent.
                log.exception("changes of %s: unexpected error", reference)
                await asyncio.sleep(MAX_PAUSE)
            await asyncio.sleep(PAUSE)

    async def _wake_by(self, reference: ConfObject, changes: AsyncIterator[None]) -> None:
        """Wake who waits for the object with each of its changes; those during a pause are taken together."""
        loop, pause, since = asyncio.get_running_loop(), PAUSE, float("-inf")
        async for _ in changes:
            pause = PAUSE if loop.time() > since + pause else min(MAX_PAUSE, 2 * pause)
            for key in sorted(self._watches[reference].keys):
                self._wake(key)
            await asyncio.sleep(pause)
            since = loop.time()


def waited_for(state: State) -> list[ConfObject]:
    """What stands in the way of an MLJob's run and would be mended by a change: the objects of ``spec.confFrom``, where the run was refused for its conf."""
    job, last_error = state.job, state.transient.last_error
    if last_error is None or not last_error.starting or last_error.reason not in _WAITS:
        return []
    return [ConfObject.of(job.namespace, source) for source in job.spec.conf_from]
