"""Cancels dag runs.

A cancellation sets the unfinished task instances of a run to failed, then sets the run to failed,
and waits until the run and its task instances have ended. Three facts about Airflow 3.3 determine
these steps:

- Setting a task instance to failed clears the downstream tasks that are failed or upstream_failed.
  Cleared tasks would run again. So upstream task instances are set to failed first (:mod:`.plan`),
  in rounds. A round lists the unfinished task instances, and sets them to failed.
- Setting one task instance to failed takes about 50 ms, and locks rows that the scheduler waits
  for. So the rounds stop after :data:`FAIL_SECONDS`. The remaining task instances end when the run
  is set to failed, which takes 50 ms for all of them together. The rounds come first, because the
  end of the run gives each task that has not started the state ``skipped``. Somebody who later
  clears the failed tasks would miss the skipped tasks.
- Teardown tasks run when a run is set to failed. Mode ``graceful`` lets teardown tasks run, and
  sets a teardown task to failed if the task does not end in time. Mode ``immediate`` sets teardown
  tasks to failed like all other tasks.

The worker of a running task instance notices the state ``failed`` at the next heartbeat, by default
at most five seconds later. The worker then stops the task's process.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

from mljob_airflow.cancellation.plan import (
    FINISHED_RUN_STATES,
    NOT_STARTED,
    TEARDOWN_TRIGGER_RULE,
    BatchResult,
    Task,
    TaskInstance,
    batches,
)
from mljob_airflow.truncation import truncated
from mljob_contract.events import CancellationMode, CancellationOutcome
from mljob_contract.task_ranks import task_ranks

log = logging.getLogger(__name__)

TEARDOWN_SECONDS = 30.0
"""Seconds that teardown tasks may take by default."""
VERIFY_SECONDS = 15.0
"""Seconds that the run may take to end after the run and all task instances were set to failed."""
FAIL_SECONDS = 20.0
"""Seconds for which task instances of a run are set to failed before the run itself. The time
suffices for a few hundred task instances. The remaining ones end when the run is set to failed.
"""
POLL_SECONDS = 0.5
"""Seconds between two requests that read the state of a run or of its task instances."""
PARALLEL_RUNS = 8
"""The maximum number of runs that are cancelled in parallel. More parallel requests would only wait
for each other in Airflow's API server.
"""
MAX_ERRORS = 20
"""The maximum number of errors in a summary."""
MAX_ERROR_LENGTH = 500
"""The maximum number of characters of an error in a summary."""


@dataclass(frozen=True, slots=True)
class Target:
    """A run to cancel."""

    dag_id: str
    dag_run_id: str

    def __str__(self) -> str:
        return f"{self.dag_id}/{self.dag_run_id}"


class Runs(Protocol):
    """The requests to Airflow that a cancellation needs."""

    def state(self, dag_id: str, dag_run_id: str) -> str | None:
        """Return the run's state, or ``None`` if the run does not exist."""
        ...

    def conf(self, dag_id: str, dag_run_id: str) -> Mapping[str, Any]:
        """Return the run's conf. The conf is empty if the run does not exist."""
        ...

    def tasks(self, dag_id: str) -> Sequence[Task]:
        """Return the DAG's tasks. The list is empty if the DAG does not exist."""
        ...

    def task_instances(self, dag_id: str, dag_run_id: str) -> Iterable[TaskInstance]:
        """Return all task instances of the run."""
        ...

    def unfinished_task_instances(self, dag_id: str, dag_run_id: str) -> Iterable[TaskInstance]:
        """Return the task instances of the run that have not ended."""
        ...

    def fail_task_instances(
        self, dag_id: str, dag_run_id: str, instances: Sequence[TaskInstance], reason: str
    ) -> BatchResult:
        """Set task instances to failed, and add ``reason`` as a line to their notes. A task instance
        that is missing or has failed already raises no error.
        """
        ...

    def fail_run(self, dag_id: str, dag_run_id: str, note: str) -> None:
        """Set the run to failed, and add ``note`` as a line to the run's note. A run that is
        missing or has failed already raises no error.
        """
        ...


class CancellationError(Exception):
    """A run, or one of its task instances, has not ended. A retry may succeed."""


@dataclass
class Summary:
    """The result of cancelling a run."""

    target: Target
    outcome: CancellationOutcome = CancellationOutcome.CANCELLED
    state: str | None = None
    """The run's state in Airflow's last answer. ``None`` means that the run does not exist, or that
    Airflow has not answered.
    """
    failed_task_instances: int = 0
    """The number of task instances that were set to failed."""
    rounds: int = 0
    """The number of rounds in which task instances were set to failed."""
    errors: list[str] = field(default_factory=list)
    """The errors of requests that Airflow refused, and a remark if teardown tasks took too long. If
    the outcome is ``not_over``, the last error is the reason.
    """
    seconds: float = 0.0
    conf: Mapping[str, Any] = field(default_factory=dict)
    """The run's conf, which names the MLJob if the run is part of a backfill. The conf is empty if
    Airflow has not answered.
    """

    def note(self, error: object) -> bool:
        """Add ``error`` to the errors, and return True. If the errors already contain ``error``, or
        there are already :data:`MAX_ERRORS` errors, return False instead.
        """
        text = _short(error)
        if text in self.errors or len(self.errors) >= MAX_ERRORS:
            return False
        self.errors.append(text)
        return True

    def give_up(self, error: object) -> None:
        """Set the outcome to ``not_over``, with ``error`` as the last error."""
        self.outcome = CancellationOutcome.NOT_OVER
        self.errors = [*self.errors[: MAX_ERRORS - 1], _short(error)]

    def as_dict(self) -> dict[str, Any]:
        """Return the summary without ``conf`` as a JSON object, for the XCom of the task that cancels
        the run.
        """
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
    """The times of a cancellation, in seconds.

    Attributes:
        fail: The maximum time for the rounds of requests that set task instances to failed.
        teardown: The maximum time for the teardown tasks to end.
        verify: The maximum time for the run to end after the run was set to failed.
        poll: The pause before the states of the run and its task instances are read again.
        clock: Returns the current time. Tests replace this function.
        sleep: Waits for a number of seconds. Tests replace this function.
        stopped: Returns whether the cancellation has to end at once. :func:`cancel_runs` replaces
            this function.
    """

    fail: float = FAIL_SECONDS
    teardown: float = TEARDOWN_SECONDS
    verify: float = VERIFY_SECONDS
    poll: float = POLL_SECONDS
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    stopped: Callable[[], bool] = lambda: False

    def check(self) -> None:
        """Raise a :class:`CancellationError` if the cancellation has to end at once."""
        if self.stopped():
            raise CancellationError("Airflow stopped the task that cancels the run")

    def pause(self) -> None:
        """Wait :attr:`poll` seconds.

        Raises:
            CancellationError: The cancellation has to end at once.
        """
        self.check()
        self.sleep(self.poll)


def cancel_runs(
    connect: Callable[[], Runs],
    targets: Iterable[Target],
    *,
    reason: str,
    mode: CancellationMode = CancellationMode.GRACEFUL,
    timing: Timing | None = None,
) -> Generator[Summary]:
    """Cancel runs in parallel. Yield the summary of each run as soon as its cancellation has ended.
    An error with one run does not affect the other runs.

    If the generator is closed, or an exception such as ``AirflowTaskTimeout`` interrupts it, the
    cancellations in progress end after their current call of a method of :class:`Runs`, and the
    other runs are not cancelled.

    Args:
        connect: Makes the connection to Airflow. If this function raises an error, the outcome of
            each run is ``not_over``.
        targets: The runs. A run that is named twice is cancelled once.
        reason: The reason of the cancellation, for the notes of the runs and their task instances in
            Airflow.
        mode: Whether teardown tasks may run.
        timing: The maximum times of the steps, by default ``Timing()``.
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
    stopped = threading.Event()
    timing = replace(timing or Timing(), stopped=stopped.is_set)
    pool = ThreadPoolExecutor(PARALLEL_RUNS, thread_name_prefix="cancel")
    try:
        pending = [pool.submit(cancel_run, runs, target, reason=reason, mode=mode, timing=timing) for target in targets]
        for done in as_completed(pending):
            yield done.result()
    finally:
        # If Airflow stops this task, the threads end after their current call of a method of Runs.
        # Otherwise the task would outlast its execution_timeout.
        stopped.set()
        pool.shutdown(cancel_futures=True)


def cancel_run(
    runs: Runs,
    target: Target,
    *,
    reason: str,
    mode: CancellationMode = CancellationMode.GRACEFUL,
    timing: Timing | None = None,
) -> Summary:
    """Cancel a run, and return the :class:`Summary` of the cancellation.

    The function catches every exception. After an exception, the summary has the outcome
    ``not_over``, and the summary's last error is the exception. Other errors in the summary, for
    example for a task instance that Airflow did not find, don't change the outcome.

    Args:
        runs: The requests to Airflow.
        target: The run.
        reason: The reason of the cancellation, for the notes of the run and its task instances in
            Airflow.
        mode: Whether teardown tasks may run.
        timing: The maximum times of the steps, by default ``Timing()``.
    """
    timing = timing or Timing()
    summary = Summary(target)
    began = timing.clock()
    try:
        _cancel(_until_stopped(runs, timing), summary, reason, mode, timing)
    except Exception as error:
        # Every exception is caught, because the other runs must still be cancelled, and the summary
        # of this run must still be reported.
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


def _until_stopped(runs: Runs, timing: Timing) -> Runs:
    """Return ``runs``, with a :meth:`Timing.check` before each call of a method."""

    class UntilStopped:
        def __getattr__(self, name: str) -> Any:
            timing.check()
            return getattr(runs, name)

    return cast("Runs", UntilStopped())


def _cancel(runs: Runs, summary: Summary, reason: str, mode: CancellationMode, timing: Timing) -> None:
    target = summary.target
    summary.state = runs.state(target.dag_id, target.dag_run_id)
    if summary.state is None:
        summary.outcome = CancellationOutcome.NOT_FOUND
        return
    summary.conf = runs.conf(target.dag_id, target.dag_run_id)
    tasks = runs.tasks(target.dag_id)
    ranks = task_ranks({task.task_id: task.downstream_task_ids for task in tasks})
    if summary.state in FINISHED_RUN_STATES:
        # An earlier try of the cancellation may have set the run to failed, but not all of its task
        # instances.
        if _unfinished_in_dag(runs, target, ranks):
            _await_end(runs, summary, ranks, reason, timing)
        else:
            summary.outcome = CancellationOutcome.ALREADY_OVER
        return

    teardowns = {task.task_id for task in tasks if task.trigger_rule == TEARDOWN_TRIGGER_RULE}
    # If no task has started, as in the queued run of a paused DAG, there is nothing to tear down.
    graceful = mode is CancellationMode.GRACEFUL and bool(teardowns) and _has_started(runs, target)

    keep = teardowns if graceful else frozenset[str]()

    _fail_unfinished(runs, summary, ranks, reason, timing, keep=keep)
    if teardowns:
        if _unfinished(runs, target, keep):
            # When a run is set to failed, Airflow lets its teardown tasks run, and ends the run
            # after they have ended.
            _fail_run(runs, target, reason)
        if graceful:
            _await_teardowns(runs, summary, timing)
        _fail_unfinished(runs, summary, ranks, reason, timing, keep=frozenset())
    _fail_run(runs, target, reason)
    _await_end(runs, summary, ranks, reason, timing)


def _fail_unfinished(
    runs: Runs,
    summary: Summary,
    ranks: Mapping[str, int],
    reason: str,
    timing: Timing,
    *,
    keep: Collection[str],
    until: float | None = None,
) -> None:
    """Set unfinished task instances to failed, except those of the tasks whose ids are in ``keep``.
    Repeat this until one of these conditions is true:

    - All of these task instances have ended.
    - :attr:`Timing.fail` seconds have passed, or the time is ``until`` (:attr:`Timing.clock`).
    - In one round, Airflow has set none of these task instances to failed.
    """
    target = summary.target
    began = timing.clock()
    deadline = began + timing.fail if until is None else min(began + timing.fail, until)
    while unfinished := _unfinished(runs, target, keep):
        summary.rounds += 1
        refusals = 0
        for batch in batches(unfinished, ranks):
            if timing.clock() >= deadline:
                log.info(
                    "%s: after %.0f s some task instances are unfinished; they end with the run.",
                    target,
                    timing.clock() - began,
                )
                return
            result = runs.fail_task_instances(target.dag_id, target.dag_run_id, batch, reason)
            summary.failed_task_instances += result.failed
            refusals += len(result.errors)
            for error in result.errors:
                if summary.note(error):
                    log.warning("%s: %s", target, error)
        if refusals >= len(unfinished):
            return


def _short(error: object) -> str:
    return truncated(str(error) or type(error).__name__, MAX_ERROR_LENGTH)


def _fail_run(runs: Runs, target: Target, reason: str) -> None:
    # When all tasks have ended, the scheduler usually ends the run within two seconds. But a busy
    # scheduler takes longer, and the scheduler ignores the queued runs of a paused DAG. So the run
    # is set to failed here.
    if runs.state(target.dag_id, target.dag_run_id) not in {*FINISHED_RUN_STATES, None}:
        runs.fail_run(target.dag_id, target.dag_run_id, f"Cancelled: {reason}")


def _has_started(runs: Runs, target: Target) -> bool:
    return any(ti.state not in NOT_STARTED for ti in runs.task_instances(target.dag_id, target.dag_run_id))


def _unfinished(runs: Runs, target: Target, keep: Collection[str] = frozenset()) -> list[TaskInstance]:
    instances = runs.unfinished_task_instances(target.dag_id, target.dag_run_id)
    return [ti for ti in instances if ti.task_id not in keep]


def _unfinished_in_dag(runs: Runs, target: Target, ranks: Mapping[str, int]) -> list[TaskInstance]:
    """Return the unfinished task instances of an ended run. A task instance without a state whose
    task is no longer in the DAG is left out. Airflow never runs such a task instance, and refuses
    to set it to failed.
    """
    return [ti for ti in _unfinished(runs, target) if ti.state is not None or ti.task_id in ranks]


def _await_teardowns(runs: Runs, summary: Summary, timing: Timing) -> None:
    deadline = timing.clock() + timing.teardown
    while unfinished := _unfinished(runs, summary.target):
        if timing.clock() >= deadline:
            left = ", ".join(dict.fromkeys(ti.task_id for ti in unfinished))
            message = f"teardown tasks took longer than {timing.teardown:.0f} s, and are set failed: {left}"
            log.warning("%s: %s", summary.target, message)
            summary.note(message)
            return
        timing.pause()


def _await_end(runs: Runs, summary: Summary, ranks: Mapping[str, int], reason: str, timing: Timing) -> None:
    """Wait until the run and its task instances have ended. Set the unfinished task instances of an
    ended run to failed.

    Raises:
        CancellationError: The run or a task instance has not ended after :attr:`Timing.verify`
            seconds.
    """
    target = summary.target
    deadline = timing.clock() + timing.verify
    while True:
        summary.state = runs.state(target.dag_id, target.dag_run_id)
        if summary.state is None:
            return
        unfinished: list[TaskInstance] = []
        if summary.state in FINISHED_RUN_STATES:
            unfinished = _unfinished_in_dag(runs, target, ranks)
            if not unfinished:
                return
        if timing.clock() >= deadline:
            left = ", ".join(dict.fromkeys(f"{ti.task_id} is {ti.state}" for ti in unfinished))
            raise CancellationError(
                f"{timing.verify:.0f} s after the run was set failed, the run is {summary.state}"
                + (f", and {left}" if left else "")
            )
        if unfinished:
            _fail_unfinished(runs, summary, ranks, reason, timing, keep=frozenset(), until=deadline)
            _fail_run(runs, target, reason)
        timing.pause()
