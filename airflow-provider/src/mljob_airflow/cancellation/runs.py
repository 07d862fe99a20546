"""Cancelling dag runs from outside: every unfinished task instance failed, then the run, then a look whether all of it is over.

Three habits of Airflow (3.3) shape how:

- *Setting a task instance failed clears its failed and upstream_failed downstream tasks* (``set_task_instance_state``),
  which puts them back to work. So tasks are failed in the order of the DAG, upstream first, and what is unfinished is
  listed anew after each round, until a round finds nothing.
- *Setting one task instance takes Airflow about 50 ms*, under row locks that the scheduler waits for; setting the run takes as
  long as that for all of its tasks together, but leaves those that have not begun ``skipped``. So tasks are failed one by
  one while that is quick, and what is left of a run with thousands of mapped instances ends with the run.
- *Teardown tasks are there for the end that comes too early*: they release what setup tasks took, and Airflow lets them run
  when a run is set failed. So does ``graceful``: only those that don't end in time are failed as well. ``immediate`` does not wait.

A task's process learns at its next heartbeat, at most five seconds later, that it was failed; then it is stopped.

Several runs are cancelled side by side, since each mostly waits; whatever becomes of one changes nothing for the others.

This module decides; :mod:`mljob_airflow.rest.client` speaks to Airflow. It needs no Airflow, and no task to run in.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

from mljob_contract.events import CancellationMode, CancellationOutcome

log = logging.getLogger(__name__)

FINISHED_TASK_STATES = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
FINISHED_RUN_STATES = frozenset({"success", "failed"})
TEARDOWN_TRIGGER_RULE = "all_done_setup_success"
"""The trigger rule of every teardown task, and of no other: Airflow lets nobody choose it."""

NOT_BEGUN = frozenset({None, "scheduled", "queued", "skipped", "upstream_failed", "removed"})
"""States of task instances that have done nothing."""

TEARDOWN_SECONDS = 30.0
"""How long teardown tasks may take by default."""
VERIFY_SECONDS = 15.0
"""How long the run may take to be over when all was failed that could be."""
FAIL_SECONDS = 20.0
"""How long task instances are failed one by one (a few hundred in this time) before setting the run does the rest."""
POLL_SECONDS = 0.5
BATCH_SIZE = 25
"""Task instances per request: Airflow keeps all of their rows locked until the last of them is set."""
AT_ONCE = 8
"""Runs that are cancelled side by side: more would only wait for each other in the API server."""
MAX_ERRORS = 20
MAX_ERROR_LENGTH = 500


@dataclass(frozen=True, slots=True)
class Target:
    """A run to cancel."""

    dag_id: str
    dag_run_id: str

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.dag_run_id}"


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
    """A run is not over, after all that could be done. Trying again is right."""


@dataclass
class Summary:
    """What cancelling a run came to."""

    target: Target
    outcome: CancellationOutcome = CancellationOutcome.CANCELLED
    state: str | None = None
    """The run's state as Airflow last said it."""
    failed_task_instances: int = 0
    rounds: int = 0
    errors: list[str] = field(default_factory=list)
    """What Airflow refused on the way; or, where the run is not over, what kept it from that."""
    seconds: float = 0.0

    def note(self, error: object) -> bool:
        """Add what went wrong, cut to a bound; whether it was new. The first texts are kept."""
        text = _cut(error)
        new = text not in self.errors
        if new and len(self.errors) < MAX_ERRORS:
            self.errors.append(text)
        return new

    def give_up(self, error: object) -> None:
        """The run is not over, because of this, which is the last of the errors."""
        self.outcome = CancellationOutcome.NOT_OVER
        self.errors = [*self.errors[: MAX_ERRORS - 1], _cut(error)]

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {
            "dag_id": self.target.dag_id,
            "dag_run_id": self.target.dag_run_id,
            "outcome": self.outcome.value,
            "state": self.state,
            "failed_task_instances": self.failed_task_instances,
            "rounds": self.rounds,
            "errors": self.errors,
            "seconds": round(self.seconds, 1),
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


def cancel_runs(
    connect: Callable[[], Runs],
    targets: Iterable[Target],
    *,
    reason: str,
    mode: CancellationMode = CancellationMode.GRACEFUL,
    timing: Timing | None = None,
) -> Iterator[Summary]:
    """Cancel runs side by side, each as :func:`cancel_run` does; what came of each, as soon as it is known.

    Args:
        connect: Makes the connection to Airflow, once. Where that fails, no run is over, and each summary says why.
        targets: The runs; one that is named twice is cancelled once.
        reason: Why, for the runs' notes in Airflow.
        mode: Whether teardown tasks get their chance.
        timing: How long to wait; mostly for tests.
    """
    targets = list(dict.fromkeys(targets))
    try:
        runs = connect()
    except Exception as error:
        log.error("Could not connect to Airflow: %s", error)
        for target in targets:
            summary = Summary(target)
            summary.give_up(error)
            yield summary
        return
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cancel")
    try:
        pending = [pool.submit(cancel_run, runs, target, reason=reason, mode=mode, timing=timing) for target in targets]
        for done in as_completed(pending):
            yield done.result()
    finally:
        # A task that is stopped in the middle begins with no further run.
        pool.shutdown(cancel_futures=True)


def cancel_run(
    runs: Runs,
    target: Target,
    *,
    reason: str,
    mode: CancellationMode = CancellationMode.GRACEFUL,
    timing: Timing | None = None,
) -> Summary:
    """Cancel a run: afterwards it is over, or gone, or the summary says what is in the way. A run that is already over is success.

    Args:
        runs: Airflow.
        target: The run.
        reason: Why, for the run's note in Airflow.
        mode: Whether teardown tasks get their chance to run.
        timing: How long to wait.
    """
    timing = timing or Timing()
    summary = Summary(target)
    began = timing.clock()
    try:
        _cancel(runs, summary, reason, mode, timing)
    except Exception as error:
        # Whatever it is: other runs are to be cancelled, and somebody is to be told.
        summary.give_up(error)
    summary.seconds = timing.clock() - began
    log.log(
        logging.INFO if summary.outcome.is_over else logging.ERROR,
        "Run %s of %s: %s, %s; %d task instance(s) failed in %d round(s), %.1f s%s",
        target.dag_run_id,
        target.dag_id,
        summary.outcome.value,
        summary.state or "no state",
        summary.failed_task_instances,
        summary.rounds,
        summary.seconds,
        "".join(f"; {error}" for error in summary.errors),
    )
    return summary


def _cancel(runs: Runs, summary: Summary, reason: str, mode: CancellationMode, timing: Timing) -> None:
    target = summary.target
    summary.state = runs.state(target.dag_id, target.dag_run_id)
    if summary.state is None:
        summary.outcome = CancellationOutcome.NOT_FOUND
        return
    if summary.state in FINISHED_RUN_STATES:
        summary.outcome = CancellationOutcome.ALREADY_OVER
        return

    tasks = runs.tasks(target.dag_id)
    ranks = upstream_first(tasks)
    teardowns = {task.task_id for task in tasks if task.trigger_rule == TEARDOWN_TRIGGER_RULE}
    # Where nothing has begun, as in the queued run of a paused DAG, nothing is there to be torn down.
    graceful = mode is CancellationMode.GRACEFUL and bool(teardowns) and _has_begun(runs, target)

    keep = teardowns if graceful else frozenset[str]()

    _fail_unfinished(runs, summary, ranks, timing, keep=keep)
    if teardowns:
        if _unfinished(runs, target, keep):
            # Airflow leaves teardown tasks alone when a run is failed, and the run open until they are done.
            _fail_run(runs, target, reason)
        if graceful:
            _await_teardowns(runs, summary, timing)
        _fail_unfinished(runs, summary, ranks, timing, keep=frozenset())
    _fail_run(runs, target, reason)
    _await_end(runs, summary, ranks, reason, timing)


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
    target = summary.target
    deadline = timing.clock() + timing.fail
    while unfinished := _unfinished(runs, target, keep):
        summary.rounds += 1
        refusals = 0
        for batch in batches(unfinished, ranks):
            if timing.clock() >= deadline:
                log.info("%s: task instances are left after %.0f s: they will end with the run.", target, timing.fail)
                return
            refused = runs.fail_task_instances(target.dag_id, target.dag_run_id, batch)
            summary.failed_task_instances += len(batch) - len(refused)
            refusals += len(refused)
            for error in refused:
                if summary.note(error):
                    log.warning("%s: %s", target, error)
        if refusals >= len(unfinished):
            return


def _cut(error: object) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= MAX_ERROR_LENGTH else text[: MAX_ERROR_LENGTH - 1] + "…"


def _fail_run(runs: Runs, target: Target, reason: str) -> None:
    # When all of its tasks have ended the scheduler ends the run by itself, within a second or two; but it may be busy, and
    # does not look at the queued run of a paused DAG.
    if runs.state(target.dag_id, target.dag_run_id) not in {*FINISHED_RUN_STATES, None}:
        runs.fail_run(target.dag_id, target.dag_run_id, f"Cancelled: {reason}")


def _has_begun(runs: Runs, target: Target) -> bool:
    return any(ti.state not in NOT_BEGUN for ti in runs.task_instances(target.dag_id, target.dag_run_id))


def _unfinished(runs: Runs, target: Target, keep: Collection[str] = frozenset()) -> list[TaskInstance]:
    instances = runs.task_instances(target.dag_id, target.dag_run_id)
    return [ti for ti in instances if ti.state not in FINISHED_TASK_STATES and ti.task_id not in keep]


def _await_teardowns(runs: Runs, summary: Summary, timing: Timing) -> None:
    deadline = timing.clock() + timing.teardown
    while unfinished := _unfinished(runs, summary.target):
        if timing.clock() >= deadline:
            left = ", ".join(dict.fromkeys(ti.task_id for ti in unfinished))
            message = f"not torn down within {timing.teardown:.0f} s, and failed: {left}"
            log.warning("%s: %s", summary.target, message)
            summary.note(message)
            return
        timing.sleep(timing.poll)


def _await_end(runs: Runs, summary: Summary, ranks: Mapping[str, int], reason: str, timing: Timing) -> None:
    """Verify: the run is terminal, and so is all that belongs to it. What the end of the run has left is failed once more."""
    target = summary.target
    deadline = timing.clock() + timing.verify
    while True:
        summary.state = runs.state(target.dag_id, target.dag_run_id)
        if summary.state is None:
            return
        unfinished: list[TaskInstance] = []
        if summary.state in FINISHED_RUN_STATES:
            # What has no state and is not in the DAG any more can't be failed, and nobody will run it.
            unfinished = [ti for ti in _unfinished(runs, target) if ti.state is not None or ti.task_id in ranks]
            if not unfinished:
                return
        if timing.clock() >= deadline:
            left = ", ".join(dict.fromkeys(f"{ti.task_id} is {ti.state}" for ti in unfinished))
            raise CancellationError(
                f"{timing.verify:.0f} s after it was failed the run is {summary.state}"
                + (f", and {left}" if left else "")
            )
        if unfinished:
            _fail_unfinished(runs, summary, ranks, timing, keep=frozenset())
            _fail_run(runs, target, reason)
        timing.sleep(timing.poll)
