"""A :class:`.Machine` whose Kubernetes API server does not keep up with the operator's writes, so that
MLJobs wait in the queue of writes.

In addition to the promises of :mod:`.machine`:

- An MLJob that waits for its turn to write has a place in the queue, or a turn.
- An MLJob that waits for neither a turn nor a step, and has input, has a timer. So has a running
  MLJob with a deadline.
- At the end, each message of Kafka is done, and no input waits for a step.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from unittest.mock import patch
from weakref import WeakSet

from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from mljob_contract.mljob import Phase
from mljob_operator.controllers.mljob.write_pace import WritePace
from mljob_operator.controllers.mljob.write_queue import Priority, WriteQueue
from mljob_operator.errors import StoreUnavailable

from .machine import NAMESPACE, Machine, indexes, moments, which
from .process import Process


class BusyMachine(Machine):
    """A machine whose API server takes one write at a time.

    Attributes:
        others: The priority of the writes of other MLJobs, and the seconds that each of these
            writes takes. A few of these writes always wait in the same queue. None if there are no
            such writes.
    """

    def __init__(self) -> None:
        self._patch = patch.object(WritePace, "limit", 1)
        self._patch.start()
        self.others: tuple[Priority, float] | None = (Priority.PROGRESS, 0.05)
        self._is_mended = False
        self._beside: WeakSet[Process] = WeakSet()
        super().__init__()

    def _then(self, rule_name: str, seconds: float) -> None:
        for process in self.world.processes:
            if process not in self._beside:
                self._beside.add(process)
                self.world.soon(partial(process.do, self._compete(process), "other MLJobs"))
        super()._then(rule_name, seconds)

    async def _compete(self, process: Process) -> None:
        while True:
            if self.others is None:
                await asyncio.sleep(0.5)
                continue
            priority, takes = self.others
            await asyncio.gather(
                *(
                    queue_of(process).send(priority, partial(asyncio.sleep, takes), namespace=NAMESPACE)
                    for _ in range(4)
                )
            )

    def _mend(self) -> None:
        self.others, self._is_mended = None, True
        super()._mend()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self._patch.stop()

    @rule(
        priority=st.sampled_from([None, *Priority]),
        takes=st.sampled_from([0.005, 0.05, 0.3, 1.0]),
        then=moments,
    )
    def other_mljobs_write(self, priority: Priority | None, takes: float, then: float) -> None:
        self.others = (priority, takes) if priority is not None else None
        self._then("other_mljobs_write", then)

    @precondition(lambda self: self.world.at_work())
    @rule(reports=st.integers(2, 12), between=st.sampled_from([0.03, 0.15, 0.5]), then=moments)
    def tasks_report(self, reports: int, between: float, then: float) -> None:
        """Let all tasks that run report their progress again and again, while other MLJobs write. If
        no task runs, let Airflow go on.
        """
        for _ in range(reports):
            found = [step for step in self.world.steps() if step.what != "times out"]
            for step in [step for step in found if step.what.endswith(" reports")] or found[:1]:
                step.do()
            while self.world.topic.under_way:
                self.world.topic.arrives(0, 1)
            self.world.look()
            self.world.run(between)
        self._then("tasks_report", then)

    @precondition(lambda self: self.world.at_work())
    @rule(steps=st.integers(1, 5), between=st.sampled_from([0.05, 0.4, 1.5]), index=indexes, then=moments)
    def airflow_works(self, steps: int, between: float, index: int, then: float) -> None:
        """Let a run begin and go on, with an event after each step, while other MLJobs write."""
        for _ in range(steps):
            if found := self.world.steps():
                found[index % len(found)].do()
            while self.world.topic.under_way:
                self.world.topic.arrives(0, 1)
            self.world.look()
            self.world.run(between)
        self._then("airflow_works", then)

    @rule(which=which, seconds=st.sampled_from([0.0, 0.4, 5.0, 30.0]), then=moments)
    def the_apiserver_asks_for_a_pause(self, which: int, seconds: float, then: float) -> None:
        async def refuse() -> None:
            if not self._is_mended:
                raise StoreUnavailable("too many requests", retry_after=seconds)

        async def write() -> None:
            with contextlib.suppress(StoreUnavailable):
                await queue_of(process).send(Priority.CANCELLATION, refuse, namespace=NAMESPACE)

        if which < len(self.world.processes):
            process = self.world.processes[which]
            self.world.soon(partial(process.do, write(), "another MLJob"))
        self._then("the_apiserver_asks_for_a_pause", then)

    @invariant()
    def each_mljob_that_waits_has_a_place(self) -> None:
        lost = [name for process in self.world.processes for name in forgotten(process)]
        assert not lost, f"wait for no turn: {lost}"

    @invariant()
    def each_mljob_is_woken_again(self) -> None:
        lost = [name for process in self.world.processes for name in asleep(process, self.world.loop.time())]
        assert not lost, f"have no timer: {lost}"

    def _assert_kept(self) -> None:
        super()._assert_kept()
        waiting = [
            f"{key} waits for a turn: {worker.awaits_turn}, {len(worker.unstored)} messages unstored, {worker.inbox}"
            for process in self.world.processes
            for key, worker in process.job_controller.workers.tracked.items()
            if worker.awaits_turn or worker.done or worker.unstored or worker.inbox.snapshots or worker.inbox.facts
        ]
        assert not waiting, "\n".join(waiting)


def queue_of(process: Process) -> WriteQueue:
    return process.job_controller._writer._writes


def forgotten(process: Process) -> list[str]:
    """Return the MLJobs that wait for a turn in the queue of writes, and have no place there."""
    queue = queue_of(process)
    return [
        f"{key}"
        for key, worker in process.job_controller.workers.tracked.items()
        if worker.awaits_turn and worker.task is None and not worker.needs_step and key not in queue._turns
        if not any(queue.waits(key, priority) for priority in Priority)
    ]


def asleep(process: Process, now: float) -> list[str]:
    """Return the MLJobs whose workers have no timer, although the MLJobs have input or a deadline."""

    def is_set(timer: asyncio.TimerHandle | None) -> bool:
        return timer is not None and not timer.cancelled() and timer.when() >= now

    found = []
    for key, worker in process.job_controller.workers.tracked.items():
        if worker.task is not None or worker.needs_step or worker.job is None:
            continue
        has_input = bool(worker.done or worker.inbox.facts or worker.inbox.snapshots)
        if has_input and not (worker.awaits_turn or is_set(worker.timer) or is_set(worker.report_timer)):
            found.append(f"{key} with input")
        is_running = worker.job.status.phase is Phase.RUNNING and not worker.job.deleting
        if is_running and worker.job.spec.active_deadline_seconds is not None and not is_set(worker.timer):
            found.append(f"{key} with a deadline")
    return found
