from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mljob_contract.events import EventName, TaskError, TaskEvent
from mljob_operator.core.run.facts import TaskFact
from mljob_operator.core.run.states import FINISHED_TASK, TERMINAL_RUN, RunState, TaskState
from tests.fakes.airflow import CANCEL_DAG, FakeAirflow, FakeRun

from .backfills import BusyBackfills
from .topic import Topic

RETRIES = 1
"""The number of retries of every task."""
PREFIX = "mljob."
CHILD = "child"
"""The id of a DAG whose runs are child runs: a run of an MLJob triggers a run of this DAG with the
same run id.
"""

OUTPUT = "made_by"
"""The name of the output that every run has. The value of the output is the id of the run."""

_NAMES = {
    TaskState.RUNNING: EventName.TASK_RUNNING,
    TaskState.SUCCESS: EventName.TASK_SUCCESS,
    TaskState.FAILED: EventName.TASK_FAILED,
    TaskState.SKIPPED: EventName.TASK_SKIPPED,
    TaskState.UP_FOR_RETRY: EventName.TASK_UP_FOR_RETRY,
}
_BAD = (TaskState.FAILED, TaskState.UPSTREAM_FAILED)


@dataclass(frozen=True)
class Step:
    """An action that can happen next in the fake Airflow, such as the start of a task."""

    run: FakeRun
    what: str
    do: Callable[[], None]

    def __str__(self) -> str:
        return f"{self.run.run_id}: {self.what}"


class BusyAirflow(FakeAirflow):
    """A fake Airflow with a scheduler and workers, which publish events. The scheduler and the
    workers do nothing until a test performs one of :meth:`steps`, or calls :meth:`finish` or
    :meth:`cancellations_go_on`.

    Attributes:
        created: The DAG id and the run id of every submitted run, even after the run's deletion.
        reused: Ids of runs that were submitted again after their deletion. ``World.look`` empties
            this list.
        succeeded: Ids of runs that have ever succeeded.
        unstored: Functions that write a run's latest changes into the database, by DAG id and run
            id. Airflow has already published events about these changes.
    """

    def __init__(self, clock: Callable[[], datetime], topic: Topic) -> None:
        super().__init__(clock, {"predict": ("score",), CHILD: ("fit", "more")})
        self.backfills: BusyBackfills = BusyBackfills(self, clock)
        self._topic = topic
        self._reports = 0
        self.created: set[tuple[str, str]] = set()
        self.reused: list[str] = []
        self.succeeded: set[str] = set()
        self.unstored: dict[tuple[str, str], list[Callable[[], None]]] = {}

    async def submit(self, dag_id: str, run_id: str, *args: Any) -> Any:
        new = (dag_id, run_id) not in self.runs
        try:
            return await super().submit(dag_id, run_id, *args)
        finally:
            if new and (dag_id, run_id) in self.runs:
                if (dag_id, run_id) in self.created:
                    self.reused.append(run_id)
                self.created.add((dag_id, run_id))

    def queue(self, dag_id: str, run_id: str, *args: Any) -> FakeRun:
        run = super().queue(dag_id, run_id, *args)
        run.outputs = {OUTPUT: run_id}
        run.tasks = {key: replace(task, max_tries=RETRIES) for key, task in run.tasks.items()}
        return run

    def end(self, run: FakeRun, state: RunState) -> None:
        super().end(run, state)
        if state is RunState.SUCCESS:
            self.succeeded.add(run.run_id)

    async def cancel(self, dag_id: str, run_id: str) -> None:
        """Store the run's changes from ``unstored``, and then cancel the run. In a real Airflow,
        too, a cancellation waits for unfinished transactions.
        """
        self.store(dag_id, run_id)
        await super().cancel(dag_id, run_id)

    def store(self, dag_id: str, run_id: str) -> None:
        for stored in self.unstored.pop((dag_id, run_id), ()):
            stored()

    def ours(self) -> list[FakeRun]:
        """Return the runs of MLJobs, except runs of backfills, oldest first."""
        return [run for run in self.runs.values() if run.run_id.startswith(PREFIX) and run.dag_id != CHILD]

    def child_runs(self) -> list[FakeRun]:
        return [run for run in self.runs.values() if run.dag_id == CHILD]

    def followed(self) -> list[FakeRun]:
        """Return the runs about which Airflow publishes events."""
        return [run for run in self.runs.values() if _is_followed(run)]

    def steps(self) -> list[Step]:
        return [Step(run, what, do) for run in list(self.runs.values()) for what, do in self._steps(run)]

    def cancellations_go_on(self) -> None:
        """Complete the runs of ``CANCEL_DAG``, the DAG whose runs cancel other runs. If this DAG is
        paused, its queued runs stay queued.
        """
        for _ in ("it begins", "it gets a slot", "it cancels"):
            for step in self.steps():
                if step.run.dag_id == CANCEL_DAG:
                    step.do()

    def finish(self, run: FakeRun, wanted: RunState) -> None:
        """End all tasks of a run, and then the run. The run's state depends on the states of all
        tasks, so the run may end in another state than ``wanted``.
        """
        self.store(run.dag_id, run.run_id)
        if run.state is RunState.QUEUED:
            self._begin(run)
        left = [key for key, task in run.tasks.items() if task.state not in FINISHED_TASK]
        for key in left:
            task = run.tasks[key]
            if task.state is not TaskState.RUNNING:
                again = task.state is not TaskState.DEFERRED
                self._enter(run, task, TaskState.RUNNING, try_number=task.try_number + again)
            bad = wanted is RunState.FAILED and key == left[-1]
            self._enter(run, run.tasks[key], TaskState.FAILED if bad else TaskState.SUCCESS)
        self._end(run, _outcome(run))

    def _steps(self, run: FakeRun) -> Iterator[tuple[str, Callable[[], None]]]:
        if (run.dag_id, run.run_id) in self.unstored:
            yield "is stored", lambda: self.store(run.dag_id, run.run_id)
        elif run.state is RunState.QUEUED and run.dag_id not in self.paused and self.backfills.let_begin(run):
            yield "begins", lambda: self._begin(run)
        elif run.state is RunState.RUNNING:
            yield from self._cancelling(run) if run.dag_id == CANCEL_DAG else self._running(run)

    def _cancelling(self, run: FakeRun) -> Iterator[tuple[str, Callable[[], None]]]:
        task = run.tasks["cancel", -1]
        if task.state is TaskState.NONE:
            yield "gets a slot", lambda: self._enter(run, task, TaskState.RUNNING, try_number=1)
            return

        def cancels() -> None:
            target = self.runs.get((run.conf["dag_id"], run.conf["dag_run_id"]))
            if target is not None and target.state not in TERMINAL_RUN:
                self.store(target.dag_id, target.run_id)
                for fact in list(target.tasks.values()):
                    if fact.state not in FINISHED_TASK:
                        self._enter(target, fact, TaskState.FAILED, ours=False)
                self._end(target, RunState.FAILED)
            self._enter(run, task, TaskState.SUCCESS)
            self._end(run, RunState.SUCCESS)

        yield "cancels", cancels

    def _running(self, run: FakeRun) -> Iterator[tuple[str, Callable[[], None]]]:
        tasks = list(run.tasks.values())
        if all(task.state in FINISHED_TASK for task in tasks):
            state = _outcome(run)
            yield f"ends: {state}", lambda: self._end(run, state)
            yield f"ends: {state}, unstored", lambda: self._end(run, state, stored=False)
            return
        yield "times out", lambda: self._time_out(run)
        for task in tasks:
            for what, do in self._task_steps(run, task):
                yield f"{task.task_id}[{task.map_index}] {what}", do

    def _task_steps(self, run: FakeRun, task: TaskFact) -> Iterator[tuple[str, Callable[[], None]]]:
        def to(state: TaskState, *, try_number: int | None = None, ours: bool = True, told: bool = True) -> Any:
            return lambda: self._enter(run, task, state, try_number=try_number, ours=ours, told=told)

        match task.state:
            case TaskState.NONE:
                yield "starts", to(TaskState.RUNNING, try_number=task.try_number + 1)
                if any(other.state in _BAD for other in run.tasks.values()):
                    yield "cannot run", to(TaskState.UPSTREAM_FAILED, told=False)
                if task.map_index < 0 and task.task_id == "fit":
                    yield "is expanded", lambda: self._expand(run, task)
            case TaskState.UP_FOR_RETRY:
                yield "is tried again", to(TaskState.RUNNING, try_number=task.try_number + 1)
            case TaskState.DEFERRED:
                yield "resumes", to(TaskState.RUNNING)
            case TaskState.RUNNING:
                yield "succeeds", to(TaskState.SUCCESS)
                yield "succeeds, unstored", lambda: self._enter(run, task, TaskState.SUCCESS, stored=False)
                yield "defers", to(TaskState.DEFERRED, told=False)
                yield "skips itself", to(TaskState.SKIPPED)
                yield "reports", lambda: self._report(run, task)
                left = task.try_number <= (task.max_tries or 0)
                yield "fails", to(TaskState.UP_FOR_RETRY if left else TaskState.FAILED)
                yield "is set failed by hand", to(TaskState.FAILED, ours=False)
                yield "is killed", to(TaskState.FAILED, told=False)
            case _:
                pass

    # Steps

    def _begin(self, run: FakeRun) -> None:
        self.begin(run)
        self._tell_of_run(run, RunState.RUNNING)

    def _end(self, run: FakeRun, state: RunState, *, stored: bool = True) -> None:
        self._tell_of_run(run, state)
        if stored:
            self.end(run, state)
        else:
            self._store_later(run, lambda: self.end(run, state))

    def _time_out(self, run: FakeRun) -> None:
        for task in list(run.tasks.values()):
            if task.state not in FINISHED_TASK:
                self._enter(run, task, TaskState.SKIPPED, told=False)
        self._end(run, RunState.FAILED)

    def _expand(self, run: FakeRun, task: TaskFact) -> None:
        del run.tasks[task.key]
        for index in (0, 1):
            fact = replace(task, map_index=index, occurred_at=self._clock())
            run.tasks[fact.key] = fact

    def _enter(
        self,
        run: FakeRun,
        task: TaskFact,
        state: TaskState,
        *,
        try_number: int | None = None,
        ours: bool = True,
        told: bool = True,
        stored: bool = True,
    ) -> None:
        """Set the state of a task instance, and publish events about the change.

        Args:
            told: Whether Airflow publishes events about this change.
            ours: Whether the provider's callbacks publish an event, too. The callbacks run only
                if the task's own process makes the change.
            stored: Whether the database contains the change at once. Otherwise :meth:`store` writes
                the change later.
        """
        now = self._clock()
        begins = state is TaskState.RUNNING and task.state is not TaskState.DEFERRED
        fact = replace(
            task,
            state=state,
            try_number=task.try_number if try_number is None else try_number,
            occurred_at=now,
            start=now if begins else task.start,
            end=now if state in FINISHED_TASK else None,
        )

        def store() -> None:
            if run.tasks.get(task.key) is task:
                run.tasks[task.key] = replace(fact, occurred_at=self._clock())

        if stored:
            store()
        else:
            self._store_later(run, store)
        if told and _is_followed(run):
            self._tell_of_task(run, fact, ours=ours)

    def _store_later(self, run: FakeRun, store: Callable[[], None]) -> None:
        self.unstored.setdefault((run.dag_id, run.run_id), []).append(store)

    def _report(self, run: FakeRun, task: TaskFact) -> None:
        self._reports += 1
        event = self._event(run, task, EventName.TASK_PROGRESS)
        progress = self._reports % 10 / 10
        self._topic.send(event.model_copy(update={"progress": progress}).model_dump_json().encode())

    def forge(self, run: FakeRun, event: str, dag_id: str, **more: Any) -> None:
        """Publish a false event in the format of Airflow's own producer. The event has the id of
        ``run``, but the DAG id ``dag_id``.
        """
        self._official(run, event, dag_id=dag_id, **more)

    # Published events

    def _tell_of_run(self, run: FakeRun, state: RunState) -> None:
        if _is_followed(run):
            self._official(run, f"dag_run.{state}")

    def _tell_of_task(self, run: FakeRun, fact: TaskFact, *, ours: bool) -> None:
        failed = fact.state in (TaskState.FAILED, TaskState.UP_FOR_RETRY)
        self._official(
            run,
            f"task_instance.{TaskState.FAILED if failed else fact.state}",
            task_id=fact.task_id,
            try_number=fact.try_number,
            map_index=fact.map_index,
            error="ValueError('broken')" if failed else None,
        )
        if ours:
            error = TaskError(type="ValueError", message="broken") if failed else None
            event = self._event(run, fact, _NAMES[fact.state]).model_copy(update={"error": error})
            self._topic.send(event.model_dump_json().encode())

    def _event(self, run: FakeRun, fact: TaskFact, name: EventName) -> TaskEvent:
        return TaskEvent(
            event=name,
            timestamp=self._clock(),
            dag_id=run.dag_id,
            run_id=run.run_id,
            task_id=fact.task_id,
            map_index=fact.map_index,
            try_number=fact.try_number,
            max_tries=fact.max_tries,
            start_date=fact.start,
            end_date=fact.end,
        )

    def _official(self, run: FakeRun, event: str, **more: Any) -> None:
        message: dict[str, Any] = {
            "schema_version": 1,
            "source": "airflow",
            "event": event,
            "timestamp": self._clock().isoformat(),
            "dag_id": run.dag_id,
            "run_id": run.run_id,
            **more,
        }
        self._topic.send(json.dumps(message).encode())


def active(run: FakeRun) -> bool:
    return run.state not in TERMINAL_RUN


def _is_followed(run: FakeRun) -> bool:
    return run.run_id.startswith(PREFIX) or run.backfill is not None


def _outcome(run: FakeRun) -> RunState:
    return RunState.FAILED if any(task.state in _BAD for task in run.tasks.values()) else RunState.SUCCESS
