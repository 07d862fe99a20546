"""Wakes MLJobs that wait for a ConfigMap or Secret of ``spec.confFrom``, when the object appears or
changes.

A watch observes only one object, so the operator need not list all Secrets. If an object can't be
watched, the operator retries the submission of the MLJob's run after a backoff.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from ...core.mljob.classification.state import State
from ...core.run.run_key import Key
from ...errors import OperatorError, ReferenceMissing, ValidationFailed, backoff
from ...ports import ConfObject, SourceChanges

log = logging.getLogger(__name__)

MAX_WATCHES = 100
"""The maximum number of objects that are watched at a time. If an MLJob waits for an object that is
not watched, its submission is retried only after the backoff.
"""
MAX_WATCHES_OF_A_NAMESPACE = 20
"""The maximum number of watched objects of one namespace, so that watches are left for other
namespaces.
"""
PAUSE = 1.0
"""The first pause after a change of an object has woken MLJobs, in seconds. The same time passes
between the end of a watch and the next watch of the object.

If the object changes again during a pause, or within the same time after the pause, the next pause
is twice as long, up to ``MAX_PAUSE``. Otherwise the next pause is as long as the first.
"""
MAX_PAUSE = 60.0
"""The longest pause in seconds, and the pause after an unexpected error."""
_WAITS = frozenset({ReferenceMissing.reason, ValidationFailed.reason})


@dataclass(slots=True)
class _Watch:
    task: asyncio.Task[None]
    keys: set[Key] = field(default_factory=set)


class ConfSources:
    """Starts and ends the watches of the ConfigMaps and Secrets that MLJobs wait for.

    All methods run in the event loop's thread.

    Args:
        changes: Watches one ConfigMap or Secret.
        wake: Called with the namespace and name of an MLJob whose submission should be tried again.
    """

    def __init__(self, changes: SourceChanges, wake: Callable[[Key], None]) -> None:
        self._changes = changes
        self._wake = wake
        self._watches: dict[ConfObject, _Watch] = {}
        self._followed: dict[Key, frozenset[ConfObject]] = {}
        self._closed = False

    def follow(self, key: Key, references: Iterable[ConfObject]) -> None:
        """Set the objects for which an MLJob waits. ``references`` is empty if the MLJob waits for
        no object.

        If ``references`` has objects that the last call for this MLJob did not have, the MLJob may
        be woken soon after this call, because an object may have changed before the call.
        """
        needed = frozenset(references)
        if self._closed or not (needed or key in self._followed):
            return
        before = self._followed.pop(key, frozenset())
        for reference in before - needed:
            watch = self._watches[reference]
            watch.keys.discard(key)
            if not watch.keys:
                watch.task.cancel()
                del self._watches[reference]
        joined = needed & self._watches.keys() - before
        followed = frozenset(reference for reference in sorted(needed) if self._ensure_watch(reference))
        for reference in followed:
            self._watches[reference].keys.add(key)
        if followed:
            self._followed[key] = followed
        if joined:
            asyncio.get_running_loop().call_later(PAUSE, self._wake, key)

    async def close(self) -> None:
        """End all watches. Later calls of :meth:`follow` have no effect."""
        self._closed = True
        tasks = [watch.task for watch in self._watches.values()]
        self._watches.clear()
        self._followed.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ensure_watch(self, reference: ConfObject) -> bool:
        """Start a watch of the object if there is none. Return False if the object remains without
        a watch, because too many other objects are watched.
        """
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
                    log.info(
                        "%s can't be watched, MLJobs that need it are retried with a backoff: %s", reference, error
                    )
                await asyncio.sleep(backoff(error, failures))
            except Exception:
                # A defect must not end the watch, so it is logged and the watch begins again.
                log.exception("watch of %s: unexpected error", reference)
                await asyncio.sleep(MAX_PAUSE)
            await asyncio.sleep(PAUSE)

    async def _wake_by(self, reference: ConfObject, changes: AsyncIterator[None]) -> None:
        """Each time ``changes`` yields an item, wake the MLJobs that wait for the object. Then
        pause for at least ``PAUSE`` seconds.
        """
        loop, pause, since = asyncio.get_running_loop(), PAUSE, float("-inf")
        async for _ in changes:
            pause = PAUSE if loop.time() > since + pause else min(MAX_PAUSE, 2 * pause)
            for key in sorted(self._watches[reference].keys):
                self._wake(key)
            await asyncio.sleep(pause)
            since = loop.time()


def waited_for(state: State) -> list[ConfObject]:
    """Return the objects for which an MLJob waits. If the last submission failed with the reason
    ``ReferenceMissing`` or ``ValidationFailed``, these are all ConfigMaps and Secrets of
    ``spec.confFrom``. Otherwise, the MLJob waits for no object.
    """
    job, last_error = state.job, state.transient.last_error
    if last_error is None or not last_error.starting or last_error.reason not in _WAITS:
        return []
    return [ConfObject.of(job.namespace, source) for source in job.spec.conf_from if source.outputs_ref is None]
