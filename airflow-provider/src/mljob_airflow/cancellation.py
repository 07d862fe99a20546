"""Cancelling a dag run from outside: every unfinished task instance failed, then the run.

Three habits of Airflow (3.3) shape how:

- *Setting a task instance failed clears its failed and upstream_failed downstream tasks* (``set_task_instance_state``),
  which puts them back to work. So tasks are failed in the order of the DAG, upstream first, and what is unfinished is
  listed anew after each round, until a round finds nothing.
- *Setting one task instance takes Airflow about 50 ms*, under row locks that the scheduler waits for; setting the run takes as
  long as that for all of its tasks together, but leaves those that have not begun ``skipped``. So tasks are failed one by
  one while that is quick, and what is left of a run with thousands of mapped instances ends with the run.
- *Teardown tasks are there for the end that comes too early*: they release what setup tasks took. They run once
  their work is failed; only those that don't end in time are failed as well.

A task's process learns at its next heartbeat, at most five seconds later, that it was failed; then it is stopped.

This module decides; :mod:`mljob_airflow.rest` speaks to Airflow. It needs no Airflow, and no task to run in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

log = logging.getLogger(__name__)

FINISHED_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
FINISHED_RUN_STATES = frozenset({"success", "failed"})
TEARDOWN_TRIGGER_RULE = "all_done_setup_success"
"""The trigger rule of every teardown task, and of no other: Airflow lets nobody choose it."""

TEARDOWN_SECONDS = 30.0
"""How long teardown tasks may take by default."""
VERIFY_SECONDS = 15.0
"""How long the run may take to become terminal when all of its tasks are."""
FAIL_SECONDS = 20.0
"""How long task instances are failed one by one (a few hundred in this time) before setting the run does the rest."""
POLL_SECONDS = 0.5
BATCH_SIZE = 25
"""Task instances per request: Airflow keeps all of their rows locked until the last of them is set."""


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """A task instance of the run; ``map_index`` is -1 for one that is not mapped."""

    task_id: str
    map_index: int
    state: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A task of the DAG."""

    task_id: str
    downstream_task_ids: tuple[str, ...] = ()
    trigger_rule: str | None = None


class Runs(Protocol):
    """What cancelling needs of Airflow."""

    def state(self, dag_id: str, dag_run_id: str) -> str | None:
        """The run's state, or ``None`` when there is no such run."""
        ...

    def tasks(self, dag_id: str) -> Sequence[Task]:
        """The DAG's tasks; nothing when the DAG is gone."""
        ...

    def task_instances(self, dag_id: str, dag_run_id: str) -> Iterable[TaskInstance]:
        """All task instances of the run, of all pages."""
        ...

    def fail_task_instances(self, dag_id: str, dag_run_id: str, instances: Sequence[TaskInstance]) -> list[str]:
        """Set them failed, and say what did not work. Already failed, or gone, is not worth saying."""
        ...

    def fail_run(self, dag_id: str, dag_run_id: str, note: str) -> None:
        """Set the run failed, with a note."""
        ...


class CancellationError(Exception):
    """The run is not over, after all that could be done. Trying again is right."""


@dataclass
class Summary:
    """What cancelling a run came to."""

    dag_id: str
    dag_run_id: str
    reason: str
    outcome: str = "cancelled"
    """``cancelled``; ``already_over``, the run had ended before; ``not_found``, there is no such run."""
    state: str | None = None
    """The run's state at the end."""
    failed_task_instances: int = 0
    rounds: int = 0
    errors: list[str] = field(default_factory=list)
    """What Airflow refused on the way. The run is over nevertheless."""

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {
            "dag_id": self.dag_id,
            "dag_run_id": self.dag_run_id,
            "reason": self.reason,
            "outcome": self.outcome,
            "state": self.state,
            "failed_task_instances": self.failed_task_instances,
            "rounds": self.rounds,
            "errors": self.errors[:20],
        }


@dataclass(frozen=True)
class Timing:
    """How long each step may take, in seconds, and the clock that tells."""

    fail: float = FAIL_SECONDS
    teardown: float = TEARDOWN_SECONDS
    verify: float = VERIFY_SECONDS
    poll: float = POLL_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def cancel_run(runs: Runs, dag_id: str, dag_run_id: str, *, reason: str, timing: Timing | None = None) -> Summary:
    """Cancel a run: afterwards it is terminal, or gone. A run that is already over is success.

    Args:
        runs: Airflow.
        dag_id: The run's DAG.
        dag_run_id: The run.
        reason: Why, for the run's note in Airflow.
        timing: How long to wait; mostly for tests.

    Raises:
        CancellationError: The run is still not terminal.
    """
    timing = timing or Timing()
    summary = Summary(dag_id, dag_run_id, reason)

    summary.state = runs.state(dag_id, dag_run_id)
    if summary.state is None:
        summary.outcome = "not_found"
        log.info("There is no run %s of %s: nothing to cancel.", dag_run_id, dag_id)
        return summary
    if summary.state in FINISHED_RUN_STATES:
        summary.outcome = "already_over"
        log.info("Run %s of %s is already %s.", dag_run_id, dag_id, summary.state)
        return summary

    tasks = runs.tasks(dag_id)
    teardowns = {task.task_id for task in tasks if task.trigger_rule == TEARDOWN_TRIGGER_RULE}
    ranks = upstream_first(tasks)

    _fail_unfinished(runs, summary, ranks, timing, keep=teardowns)
    if teardowns:
        if _unfinished(runs, summary, keep=teardowns):
            # Airflow leaves teardown tasks alone when a run is failed, and the run open until they are done.
            _fail_run(runs, summary)
        _await_teardowns(runs, summary, timing)
        _fail_unfinished(runs, summary, ranks, timing, keep=frozenset())
    _fail_run(runs, summary)

    summary.state = _await_end(runs, summary, timing)
    log.info(
        "Run %s of %s is %s; %d task instance(s) failed in %d round(s).",
        dag_run_id,
        dag_id,
        summary.state or "gone",
        summary.failed_task_instances,
        summary.rounds,
    )
    return summary


def upstream_first(tasks: Iterable[Task]) -> dict[str, int]:
    """How far down the DAG each task is: 0 without upstream tasks, else one more than the furthest of them."""
    upstream: dict[str, set[str]] = {}
    for task in tasks:
        upstream.setdefault(task.task_id, set())
        for downstream in task.downstream_task_ids:
            upstream.setdefault(downstream, set()).add(task.task_id)
    ranks: dict[str, int] = {}
    try:
        for task_id in TopologicalSorter(upstream).static_order():
            ranks[task_id] = 1 + max((ranks[up] for up in upstream[task_id]), default=-1)
    except CycleError:
        return {}
    return ranks


def batches(instances: Iterable[TaskInstance], ranks: Mapping[str, int]) -> list[list[TaskInstance]]:
    """The instances in the order in which they are to be failed, in portions of one request.

    Upstream first, tasks that the DAG no longer has last, and no two ranks in one request, since Airflow follows no order
    within a request. Of equal rank, those that have not begun come first: or they would begin in the slots
    that failing the others frees.
    """
    last = max(ranks.values(), default=0) + 1
    groups: dict[int, list[TaskInstance]] = {}
    for instance in sorted(instances, key=lambda ti: (ti.state == "running", ti.task_id, ti.map_index)):
        groups.setdefault(ranks.get(instance.task_id, last), []).append(instance)
    return [
        groups[rank][start : start + BATCH_SIZE]
        for rank in sorted(groups)
        for start in range(0, len(groups[rank]), BATCH_SIZE)
    ]


def _fail_unfinished(
    runs: Runs, summary: Summary, ranks: Mapping[str, int], timing: Timing, *, keep: Collection[str]
) -> None:
    """Fail round after round, until nothing is unfinished (but ``keep``), nothing works or the time is over."""
    deadline = timing.clock() + timing.fail
    while unfinished := _unfinished(runs, summary, keep):
        summary.rounds += 1
        errors: list[str] = []
        for batch in batches(unfinished, ranks):
            if timing.clock() >= deadline:
                log.info("Task instances are left after %.0f s: they will end with the run.", timing.fail)
                return
            refused = runs.fail_task_instances(summary.dag_id, summary.dag_run_id, batch)
            summary.failed_task_instances += len(batch) - len(refused)
            errors += refused
        summary.errors += errors
        for error in errors:
            log.warning("%s", error)
        if len(errors) >= len(unfinished):
            return


def _fail_run(runs: Runs, summary: Summary) -> None:
    # When all of its tasks have ended the scheduler ends the run by itself, within a second or two; but it may be busy, and
    # does not look at the queued run of a paused DAG.
    if runs.state(summary.dag_id, summary.dag_run_id) not in {*FINISHED_RUN_STATES, None}:
        runs.fail_run(summary.dag_id, summary.dag_run_id, f"Cancelled: {summary.reason}")


def _unfinished(runs: Runs, summary: Summary, keep: Collection[str] = frozenset()) -> list[TaskInstance]:
    instances = runs.task_instances(summary.dag_id, summary.dag_run_id)
    return [ti for ti in instances if ti.state not in FINISHED_TASK_STATES and ti.task_id not in keep]


def _await_teardowns(runs: Runs, summary: Summary, timing: Timing) -> None:
    deadline = timing.clock() + timing.teardown
    while unfinished := _unfinished(runs, summary):
        if timing.clock() >= deadline:
            log.warning("Not torn down within %.0f s: %s.", timing.teardown, ", ".join(ti.task_id for ti in unfinished))
            return
        timing.sleep(timing.poll)


def _await_end(runs: Runs, summary: Summary, timing: Timing) -> str | None:
    deadline = timing.clock() + timing.verify
    while True:
        state = runs.state(summary.dag_id, summary.dag_run_id)
        if state is None or state in FINISHED_RUN_STATES:
            return state
        if timing.clock() >= deadline:
            raise CancellationError(
                f"run {summary.dag_run_id} of {summary.dag_id} is still {state} "
                f"{timing.verify:.0f} s after it was failed"
            )
        timing.sleep(timing.poll)
