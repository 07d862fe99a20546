"""Advances the simulated runs, as Airflow's scheduler and workers do.

A step is one change of a run, such as a new state of a task. For each run, a generator executes the
steps and yields the seconds until the next step. One asyncio task advances all generators.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections.abc import Callable, Generator

from mljob_operator.core.run.states import RunState, TaskState

from .backfills import Backfills
from .dags import CANCEL_DAG, Dag
from .events import Events
from .publisher import Outlet
from .runs import Run, TaskInstance
from .store import Store

Life = Generator[float, None, None]
"""A generator that yields the seconds before each next step of a run."""
OUTPUTS_KEY = "mljob_outputs"
AGAIN = 0.1
"""Seconds between two checks whether a run that has to wait may continue. For example, a run waits
while its DAG is paused.
"""
BATCH = 50
"""The maximum number of steps that are taken before requests get their turn."""


class Scheduler:
    """The scheduler of a simulated Airflow.

    Args:
        store: The DAGs and runs.
        backfills: The backfills. Each backfill limits how many of its runs are running.
        events: Makes the Kafka messages about runs and tasks.
        publisher: Sends the messages. With None, no messages are sent.
        seed: The seed of the random durations.
        starts_per_second: The maximum number of runs that start per second. None for no maximum.
    """

    def __init__(
        self,
        store: Store,
        backfills: Backfills,
        events: Events,
        publisher: Outlet | None = None,
        *,
        seed: int = 0,
        starts_per_second: float | None = None,
    ) -> None:
        self._store = store
        self._backfills = backfills
        self._events = events
        self._publisher = publisher
        self._seed = seed
        self._pause = 1 / starts_per_second if starts_per_second else 0.0
        self._next_start = 0.0
        self._due: list[tuple[float, int, Run, int, Life]] = []
        self._order = itertools.count()
        self._woken = asyncio.Event()

    async def work(self) -> None:
        """Advance all runs until this asyncio task is cancelled."""
        while True:
            self._woken.clear()
            self._take_steps()
            pause = min(self._due[0][0] - time.monotonic(), 1.0) if self._due else 1.0
            if pause <= 0:
                await asyncio.sleep(0)
                continue
            try:
                await asyncio.wait_for(self._woken.wait(), pause)
            except TimeoutError:
                continue

    def plan(self, run: Run) -> None:
        """Plan the next step of a run. Plan nothing for a run that has ended, or for a queued run
        of a paused or stale DAG.
        """
        dag = self._store.dags[run.dag_id]
        if run.is_over or (run.state is RunState.QUEUED and (dag.is_paused or dag.is_stale)):
            return
        self._push(run, run.generation, self.life(run), 0.0)
        self._woken.set()

    def set_paused(self, dag_id: str, *, paused: bool) -> None:
        """Pause or unpause a DAG. The queued runs of a paused DAG wait until the DAG is unpaused."""
        dag = self._store.dags[dag_id]
        if dag.is_paused == paused:
            return
        self._store.dags[dag_id] = dag.model_copy(update={"is_paused": paused})
        if not paused:
            for run in self._store.active(dag_id):
                if run.state is RunState.QUEUED:
                    # A step that was planned before the pause is dropped.
                    run.generation += 1
                    self.plan(run)

    def waiting(self) -> list[tuple[float, Run]]:
        """Return the time and the run of each planned step. The times are in seconds of the
        monotonic clock. Steps that will be dropped are included, for example steps of an ended run.
        """
        return [(at, run) for at, _, run, _, _ in self._due]

    def end(self, run: Run, state: RunState) -> int:
        """End a run at once. Tasks in progress fail, and tasks without a state are skipped. Return
        how many tasks have failed through this call.
        """
        run.generation += 1
        failed = 0
        for task in run.tasks.values():
            if not task.is_finished:
                begun = task.state is not TaskState.NONE
                failed += begun
                self.set_task(task, TaskState.FAILED if begun else TaskState.SKIPPED, tell=begun)
        self._set_run(run, state)
        return failed

    def set_task(self, task: TaskInstance, state: TaskState, *, tell: bool = True) -> None:
        """Set the state of a task instance. Unless ``tell`` is False, publish a message about the
        change.
        """
        self._store.set_task(task, state)
        if tell and self._publisher is not None:
            error = "the task failed" if state is TaskState.FAILED else None
            self._publisher.publish(self._events.of_task(task, error))

    def _set_run(self, run: Run, state: RunState) -> None:
        self._store.set_run(run, state)
        if self._publisher is not None:
            self._publisher.publish(self._events.of_run(run, state))
        if run.is_over:
            self._backfills.run_ended(run)

    def _take_steps(self) -> None:
        now = time.monotonic()
        for _ in range(BATCH):
            if not self._due or self._due[0][0] > now:
                return
            _, _, run, generation, life = heapq.heappop(self._due)
            if run.generation == generation and (pause := next(life, None)) is not None:
                self._push(run, generation, life, pause)

    def _push(self, run: Run, generation: int, life: Life, pause: float) -> None:
        heapq.heappush(self._due, (time.monotonic() + pause, next(self._order), run, generation, life))

    def life(self, run: Run) -> Life:
        """Advance a run step by step. Yield the seconds to wait before each next step."""
        dag = self._store.dags[run.dag_id]
        chance = random.Random(f"{self._seed} {run.dag_id} {run.run_id} {run.generation}")  # noqa: S311 - no secret

        def about(seconds: float) -> float:
            return seconds * (1 + dag.jitter * (2 * chance.random() - 1))

        if run.state is RunState.QUEUED:
            yield about(dag.queued_seconds) + self._reserve_start()
            while not self._has_room(run):
                yield AGAIN
            if self._halted(run):
                return
            self._set_run(run, RunState.RUNNING)
        for task in run.tasks.values():
            if task.is_finished:
                continue
            while self._halted(run):
                yield AGAIN
            if not (yield from self._work(task, dag, about)):
                return
            if task.state in (TaskState.FAILED, TaskState.UPSTREAM_FAILED):
                break
        else:
            self._set_run(run, RunState.SUCCESS)
            return
        for task in run.tasks.values():
            if task.state is TaskState.NONE:
                self.set_task(task, TaskState.UPSTREAM_FAILED, tell=False)
        self._set_run(run, RunState.FAILED)

    def _work(self, task: TaskInstance, dag: Dag, about: Callable[[float], float]) -> Generator[float, None, bool]:
        """Simulate a task. Yield the seconds to wait before each next step. Return False if the
        task never ends by itself, else True.
        """
        self.set_task(task, TaskState.RUNNING)
        if task.task_id in dag.asks:
            self.set_task(task, TaskState.AWAITING_INPUT, tell=False)
        if task.task_id in dag.asks or dag.outcome == "waits":
            return False
        reports = dag.progress_reports + 1
        for number in range(1, reports):
            yield about(dag.task_seconds) / reports
            if self._publisher is not None:
                self._publisher.publish(self._events.of_progress(task, number / reports))
        yield about(dag.task_seconds) / reports
        if task.is_finished:
            # Somebody has set its state meanwhile.
            return True
        if dag.dag_id == CANCEL_DAG:
            self._cancel(task.run)
        is_last = task.task_id == dag.tasks[-1]
        failed = is_last and dag.outcome == "failed"
        if task.task_id in dag.returns:
            task.run.xcoms[task.task_id, "return_value"] = dag.returns[task.task_id]
        if is_last and dag.outputs and not failed:
            task.run.xcoms[task.task_id, OUTPUTS_KEY] = dag.outputs
        self.set_task(task, TaskState.FAILED if failed else TaskState.SUCCESS)
        return True

    def _cancel(self, canceller: Run) -> None:
        target = self._store.get(str(canceller.conf.get("dag_id")), str(canceller.conf.get("dag_run_id")))
        if target is not None and not target.is_over:
            ended = self.end(target, RunState.FAILED)
            if self._publisher is not None:
                self._publisher.publish(self._events.of_cancellation(target, canceller, ended))

    def _reserve_start(self) -> float:
        """Reserve the next time at which a run may start. Return the seconds until this time."""
        if not self._pause:
            return 0.0
        now = time.monotonic()
        self._next_start = max(now, self._next_start) + self._pause
        return self._next_start - now

    def _halted(self, run: Run) -> bool:
        dag = self._store.dags[run.dag_id]
        return dag.is_paused or dag.is_stale

    def _has_room(self, run: Run) -> bool:
        return run.backfill is None or self._backfills.has_room(run.backfill)
