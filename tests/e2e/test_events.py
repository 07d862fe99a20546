"""The callbacks of ``airflow-provider-mljob`` and Airflow's own Kafka producer send the messages in
the table of docs/spec/events.md. The MLJob's status shows the states of the tasks within 40 seconds
(``FEED``), and the deletion of a run within 200 seconds (``RELIST``).
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest
import urllib3

from devstack.stack import Stack
from mljob_operator.core.run.states import TASK_RANK, TaskState
from tests.e2e.parity import differences
from tests.live import airflow_database
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Watch
from tests.live.mljobs import Object, finished, manifest
from tests.live.topic import AIRFLOWS, OURS, Told, Topic

TABLE = Path(__file__).parents[2] / "docs" / "spec" / "events.md"
PRODUCERS = (OURS, AIRFLOWS)
EVENT, FEED, RELIST = 2.0, 40.0, 200.0
"""Bounds in seconds until the status shows a change: ``EVENT`` for the median of the changes that
an event reports, ``FEED`` for a change that the change feed reports, and ``RELIST`` for a change
that a relist finds. The change feed is read every 5 s, and all active runs are listed every 60 s.
The bounds leave time for a busy machine. A slower source would exceed the bound of a faster one.
"""
BOUND = 300

pytestmark = pytest.mark.timeout(BOUND + 120)

DAGS = {
    "events-tasks": "events_tasks",
    "events-task-set": "events_held",
    "events-run-set": "events_held",
    "events-lost": "events_held",
    "events-timeout": "events_timeout",
    "events-no-slot": "events_no_slot",
    "events-cleared": "events_quick",
    "events-deleted": "events_paused",
}
"""The id of each MLJob's DAG, by the name of the MLJob."""


@dataclass(frozen=True)
class Case:
    """The task or the run that one row of the table in docs/spec/events.md is about.

    Attributes:
        job: The name of the MLJob.
        task: The id of the task. None if the row is about the run.
        silent: States without an event. The status must show them within ``FEED`` seconds.
        instances: The map indexes of the task's instances. Only -1 for a task that is not mapped.
    """

    job: str
    task: str | None = None
    silent: tuple[str, ...] = ()
    instances: tuple[int, ...] = (-1,)


CASES = {
    "A task succeeds": Case("events-tasks", "succeeds"),
    "A task fails, with no retries left": Case("events-tasks", "fails"),
    "A task skips itself": Case("events-tasks", "skips"),
    "Each instance of a mapped task": Case("events-tasks", "each", instances=(0, 1)),
    "A task exceeds its `execution_timeout`": Case("events-tasks", "too_slow"),
    "A task fails once and then succeeds": Case("events-tasks", "second_time_lucky"),
    "A task is deferred, and comes back": Case("events-tasks", "defers", ("deferred",)),
    "A task waits for a person, and is answered": Case("events-tasks", "asks", ("awaiting_input",)),
    "A task's process is killed, with no retries left": Case("events-tasks", "killed", ("failed",)),
    "A task's process is killed once": Case("events-tasks", "killed_once"),
    "A task's worker is lost": Case("events-lost", "held"),
    "A running task is set failed by a person": Case("events-task-set", "held"),
    "A deferred task is set succeeded by a person": Case("events-task-set", "deferred", ("deferred",)),
    "A run is set failed by a person": Case("events-run-set"),
    "Its running task": Case("events-run-set", "held"),
    "Its deferred task": Case("events-run-set", "deferred", ("deferred",)),
    "Its task that had not begun": Case("events-run-set", "pending", ("skipped",)),
    "A task cannot run because one before it failed": Case("events-tasks", "unreachable", ("upstream_failed",)),
    "A task is not chosen by a branch": Case("events-tasks", "not_chosen", ("skipped",)),
    "A task is cut off by a short circuit": Case("events-tasks", "cut_off", ("skipped",)),
    "An EmptyOperator succeeds": Case("events-tasks", "empty", ("success",)),
    "A task is scheduled and gets no slot": Case("events-no-slot", "no_slot", ("scheduled",)),
    "A run exceeds its `dagrun_timeout`": Case("events-timeout"),
    "Its task that had not ended": Case("events-timeout", "never_begins", ("skipped",)),
    "A run is queued": Case("events-deleted"),
    "A finished run is cleared, and its task runs again": Case("events-cleared", "quick"),
    "A run is deleted": Case("events-deleted"),
}


def rows() -> dict[str, dict[str, re.Pattern[str]]]:
    """Return a dict for each row of the table in docs/spec/events.md, by the row's first cell. The
    dict has a pattern for each producer. The pattern matches the states that the producer reports,
    with a space after each state.
    """
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in TABLE.read_text().splitlines()]
    table = [row for row in cells if len(row) == 4 and not set(row[0]) <= {"-", " "} and row[0] != "What happens"]
    return {happens: {OURS: _words(ours), AIRFLOWS: _words(airflows)} for happens, ours, airflows, _ in table}


def _words(cell: str) -> re.Pattern[str]:
    """Return a pattern that matches the states in a cell, with a space after each state. A state in
    parentheses may be missing, or come later than its place in the cell.
    """
    found = re.findall(r"(\(?)`(\w+)`", cell)
    orders = {tuple(word for optional, word in found if not optional)}
    before = 0
    for optional, word in found:
        if optional:
            orders |= {(*order[:at], word, *order[at:]) for order in orders for at in range(before, len(order) + 1)}
        else:
            before += 1
    return re.compile("|".join("".join(f"{word} " for word in order) for order in sorted(orders)))


@dataclass
class Seen:
    """A state of a task instance, and when Airflow's REST API first returned this state."""

    state: str
    try_number: int
    at: float


@dataclass
class Timeline:
    """The test's record: messages on Kafka, answers of Airflow's REST API, and statuses of MLJobs."""

    topic: Topic
    deleted_at: float | None = None
    run_ids: dict[str, str] = field(default_factory=dict)
    statuses: dict[str, list[tuple[float, Object]]] = field(default_factory=lambda: defaultdict(list))
    rest: dict[tuple[str, str, int], list[Seen]] = field(default_factory=lambda: defaultdict(list))

    def told(self, job: str, task: str | None, index: int = -1, producer: str | None = None) -> list[Told]:
        """Return the messages about a task instance, or about the run if ``task`` is None. Without
        ``producer``, return the messages of both producers.
        """
        about = (task, index) if task else None
        found = self.topic.about(self.run_ids.get(job))
        return [told for told in found if told.task == about and producer in (None, told.producer)]

    def words(self, case: Case, index: int, producer: str) -> str:
        """Return the states that ``producer`` has reported about a task instance or a run, each
        followed by a space.
        """
        return "".join(f"{told.state} " for told in self.told(case.job, case.task, index, producer))

    def status(self, job: str) -> Object:
        return self.statuses[job][-1][1] if self.statuses[job] else {}

    def shown(self, job: str, task: str) -> str | None:
        return next((e["state"] for e in self.status(job).get("tasks") or () if e["taskId"] == task), None)

    def shown_at(self, job: str, task: str, holds: Callable[[Object], bool]) -> float | None:
        for at, status in self.statuses[job]:
            if any(entry["taskId"] == task and holds(entry) for entry in status.get("tasks") or ()):
                return at
        return None


class Act:
    """An action of the test. The first call of :meth:`try_it` at which ``due`` returns a true value
    carries out the action. Later calls do nothing.
    """

    def __init__(self, due: Callable[[], object], do: Callable[[], None]) -> None:
        self._due, self._do = due, do
        self.done_at: float | None = None

    def try_it(self) -> None:
        if self.done_at is None and self._due():
            self._do()
            self.done_at = time.time()


class Stage:
    """Runs all MLJobs of the test at the same time, acts on their tasks and runs, and records a
    :class:`Timeline`.
    """

    def __init__(self, installation: Installation, airflow: AirflowRest, stack: Stack, watch: Watch, directory: Path):
        self._jobs, self._airflow, self._stack = installation.jobs, airflow, stack
        self._directory = directory
        self._watch, self._watched = watch, 0
        self._scheduler_log = stack.log("airflow-scheduler")
        self._scheduler_log_began = self._scheduler_log.stat().st_size
        self.story = Timeline(Topic(stack.env["KAFKA_BOOTSTRAP_SERVERS"], stack.env["MLJOB_EVENTS_TOPIC"]))

    def play(self) -> None:
        for job in DAGS:
            (self._directory / job).mkdir()
        confs = {
            job: {"directory": str(self._directory / job)}
            for job in ("events-tasks", "events-task-set", "events-run-set", "events-lost")
        }
        stop = threading.Event()
        looks = threading.Thread(target=self._look_on, args=(stop,))
        looks.start()
        try:
            self._jobs.apply(*(manifest(job, dag_id, confs.get(job)) for job, dag_id in DAGS.items()))
            acts = self._acts()

            def over() -> bool:
                self.story.run_ids |= {
                    job: self.story.status(job)["dagRunId"] for job in DAGS if "dagRunId" in self.story.status(job)
                }
                for act in acts.values():
                    act.try_it()
                undone = [name for name, act in acts.items() if act.done_at is None]
                assert not undone, f"could not be done yet: {undone}"
                self.story.deleted_at = acts["delete a run"].done_at
                found = self._jobs.all()
                late = [job for job in DAGS if not finished(found[job])]
                assert not late, f"not finished: {late}"
                return found["events-cleared"]["status"]["attempts"] == 2

            eventually(over, "all has happened", within=BOUND, evidence=lambda: self._jobs.evidence(*DAGS))
        finally:
            stop.set()
            looks.join()
            self._end_processes()
        # A producer sends its remaining messages within a moment after its process ends.
        eventually(lambda: not self._missing(), "all messages are there", within=20, evidence=self._missing)

    def _acts(self) -> dict[str, Act]:
        tell, story = self._told_running, self.story
        return {
            "kill a task": Act(lambda: tell("events-tasks", "killed"), lambda: self._kill("events-tasks", "killed")),
            "kill one with a retry left": Act(
                lambda: tell("events-tasks", "killed_once"), lambda: self._kill("events-tasks", "killed_once")
            ),
            "let a deferred task go on": Act(
                lambda: self._settled("events-tasks", "defers", "deferred"),
                lambda: (self._directory / "events-tasks" / "go").touch(),
            ),
            "answer": Act(lambda: self._settled("events-tasks", "asks", "awaiting_input"), self._answer),
            "lose a worker": Act(lambda: tell("events-lost", "held"), self._lose_worker),
            # The run then fails by itself. A person who sets the run to failed at this time
            # competes with the scheduler, which may overwrite the state with success (Airflow
            # 3.3.2).
            "let the run of the lost worker end": Act(
                lambda: (
                    story.shown("events-lost", "held") == "failed"
                    and self._settled("events-lost", "deferred", "deferred")
                ),
                lambda: (self._directory / "events-lost" / "go").touch(),
            ),
            "set tasks": Act(lambda: self._is_held("events-task-set"), self._set_tasks),
            "set a run": Act(lambda: self._is_held("events-run-set"), lambda: self._end_run("events-run-set")),
            "end the run that gets no slot": Act(
                lambda: story.shown("events-no-slot", "no_slot") == "scheduled",
                lambda: self._end_run("events-no-slot"),
            ),
            "clear a run": Act(lambda: self._is_over("events-cleared"), self._clear),
            "delete a run": Act(lambda: story.status("events-deleted").get("phase") == "Queued", self._delete),
        }

    # Conditions

    def _told_running(self, job: str, task: str) -> bool:
        """Return whether both producers have reported the task as running, and the task has written
        its process id.
        """
        there = {told.producer for told in self.story.told(job, task) if told.state == "running"}
        return there == set(PRODUCERS) and bool(self._pid(job, task))

    def _is_held(self, job: str) -> bool:
        return self._told_running(job, "held") and self._settled(job, "deferred", "deferred")

    def _settled(self, job: str, task: str, state: str) -> bool:
        """Return whether the status shows that the task waits in ``state``, and the scheduler knows
        that the task's process has ended. If the task continues before the scheduler knows this,
        Airflow 3.3.2 sets the task to failed.
        """
        if self.story.shown(job, task) != state:
            return False
        with self._scheduler_log.open("rb") as log:
            log.seek(self._scheduler_log_began)
            told = log.read().decode(errors="replace")
        key = f"(dag_id='{DAGS[job]}', task_id='{task}', run_id='{self.story.status(job)['dagRunId']}'"
        return f"Received executor event with state success for task instance TaskInstanceKey{key}" in told

    def _is_over(self, job: str) -> bool:
        if self.story.status(job).get("phase") != "Succeeded":
            return False
        # Airflow sends the event about the end before Airflow stores the end.
        self._airflow.ended(DAGS[job], self.story.run_ids[job])
        return True

    def _pid(self, job: str, task: str) -> int | None:
        file = self._directory / job / task
        return int(file.read_text() or 0) or None if file.exists() else None

    def _missing(self) -> dict[str, object]:
        return {
            row: (producer, wanted.pattern, told)
            for row, case in CASES.items()
            for index in case.instances
            for producer, wanted in rows()[row].items()
            if not wanted.fullmatch(told := self.story.words(case, index, producer))
        }

    # Actions

    def _kill(self, job: str, task: str) -> None:
        pid = self._pid(job, task)
        assert pid
        os.kill(pid, signal.SIGKILL)

    def _lose_worker(self) -> None:
        """Kill the process of the task ``held`` of MLJob ``events-lost``, and the parent of the
        task's process, as when a host dies. Set the task's last heartbeat one hour back. Otherwise
        Airflow would need 300 s to notice the loss.
        """
        process = psutil.Process(self._pid("events-lost", "held"))
        worker = process.parent()
        assert worker is not None
        assert "LocalExecutor" in " ".join(worker.cmdline()), worker
        worker.kill()
        process.kill()
        changed = airflow_database.execute(
            self._stack,
            "UPDATE task_instance SET last_heartbeat_at = last_heartbeat_at - interval '1 hour'"
            " WHERE run_id = :run_id AND task_id = 'held'",
            run_id=self.story.run_ids["events-lost"],
        )
        assert changed == 1

    def _answer(self) -> None:
        body = {"chosen_options": ["Approve"], "params_input": {}}
        self._request("PATCH", "events-tasks", "/taskInstances/asks/-1/hitlDetails", body)

    def _set_tasks(self) -> None:
        self._request("PATCH", "events-task-set", "/taskInstances/held", {"new_state": "failed"})
        self._request("PATCH", "events-task-set", "/taskInstances/deferred", {"new_state": "success"})

    def _end_run(self, job: str) -> None:
        self._request("PATCH", job, "", {"state": "failed"})

    def _clear(self) -> None:
        self._request("POST", "events-cleared", "/clear", {"dry_run": False, "only_failed": False})

    def _delete(self) -> None:
        self._request("DELETE", "events-deleted", "", None)

    def _request(self, method: str, job: str, path: str, body: object) -> None:
        # The run id comes from the current status, because the story may not have noted it yet.
        run = f"/dags/{DAGS[job]}/dagRuns/{self.story.status(job)['dagRunId']}"
        status, answer = self._airflow.request(method, run + path, body)
        assert status in (200, 204), f"{method} {path} of {job}: {status} {answer}"

    def _end_processes(self) -> None:
        for file in self._directory.glob("*/*"):
            pid = int(file.read_text() or 0)
            with suppress(psutil.NoSuchProcess):
                # Only the process of the task, because the process id may have been reused.
                if pid and psutil.Process(pid).create_time() <= file.stat().st_mtime:
                    psutil.Process(pid).kill()

    # Observation

    def _look_on(self, stop: threading.Event) -> None:
        """Record statuses and task states in the timeline until ``stop`` is set."""
        rest = AirflowRest(self._airflow.url, self._stack.env["AIRFLOW_USER"], self._stack.env["AIRFLOW_PASSWORD"])
        asked_at = 0.0
        while not stop.wait(0.05):
            self._look_at_statuses()
            if time.time() - asked_at > 0.5 and self.story.run_ids:
                asked_at = time.time()
                self._look_at_airflow(rest)
        self._look_at_statuses()
        rest.close()

    def _look_at_statuses(self) -> None:
        events = self._watch.events()
        for _, found in events[self._watched :]:
            self.story.statuses[found["metadata"]["name"]].append((time.time(), found.get("status") or {}))
        self._watched = len(events)

    def _look_at_airflow(self, rest: AirflowRest) -> None:
        jobs = {run_id: job for job, run_id in dict(self.story.run_ids).items()}
        asked = {"dag_run_ids": list(jobs), "page_limit": 200}
        try:
            status, answer = rest.request("POST", "/dags/~/dagRuns/~/taskInstances/list", asked)
        except urllib3.exceptions.HTTPError:
            return  # busy; read again soon
        for row in answer["task_instances"] if status == 200 else ():
            seen = self.story.rest[jobs[row["dag_run_id"]], row["task_id"], row["map_index"]]
            state = row["state"] or "none"
            if not seen or seen[-1].state != state:
                seen.append(Seen(state, row["try_number"], time.time()))


@pytest.fixture(scope="module")
def story(
    with_kafka: Installation, airflow: AirflowRest, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Timeline]:
    eventually(lambda: set(DAGS.values()) <= set(airflow.dags(tags="events")), "the DAGs are parsed", within=120)
    with with_kafka.jobs.watch() as watch:
        stage = Stage(with_kafka, airflow, stack, watch, tmp_path_factory.mktemp("events"))
        try:
            stage.play()
            yield stage.story
        finally:
            stage.story.topic.close()
            with_kafka.jobs.kubectl("delete", "mljobs", "--wait=false", "--ignore-not-found", *DAGS)


def test_every_row_of_the_table_happens_on_airflow() -> None:
    assert rows().keys() == CASES.keys()


@pytest.mark.parametrize("row", CASES)
def test_messages_are_those_of_the_table(row: str, story: Timeline) -> None:
    case = CASES[row]
    for producer, wanted in rows()[row].items():
        for index in case.instances:
            told = story.words(case, index, producer)
            assert wanted.fullmatch(told), f"{producer}, map index {index}: {told!r}, and not {wanted.pattern!r}"


def test_states_reported_by_events_are_in_the_status_within_seconds(story: Timeline) -> None:
    late = {
        f"{row}: {said.state}": lateness
        for row, case in CASES.items()
        if case.task
        for index in case.instances
        for said, lateness in told_late(story, case, case.task, index)
    }
    assert max(late.values()) < FEED, late
    assert statistics.median(late.values()) < EVENT, late


def told_late(story: Timeline, case: Case, task: str, index: int) -> list[tuple[Told, float]]:
    """Return a pair for each reported state of each try of a task instance: the first message about
    the state, and the seconds from this message until a status shows the state or a later state.
    For a mapped task, the seconds begin when the state is reported for all instances. The state
    ``failed`` of a try has no pair if the try was reported as ``up_for_retry`` before.
    """
    first: dict[tuple[int, str], Told] = {}
    for said in story.told(case.job, task, index):
        if said.state == "failed" and (said.try_number, "up_for_retry") in first:
            continue
        first.setdefault((said.try_number or 0, said.state), said)
    found = []
    for said in first.values():
        reached = story.shown_at(case.job, task, partial(is_as_far, said, len(case.instances)))
        assert reached is not None, f"{task} never was {said.state} in a status"
        # A mapped task has one entry, which is as far as the last of its instances.
        others = [story.told(case.job, task, other) for other in case.instances if other != index]
        told_at = [min(one.at for one in told if one.state == said.state) for told in others]
        found.append((said, reached - max([said.at, *told_at])))
    return found


def is_as_far(said: Told, instances: int, entry: Object) -> bool:
    """Return whether a task's entry in a status shows the reported state or a later state. For a
    mapped task, all instances must have reached the state.
    """
    rank = TASK_RANK[TaskState(said.state)]
    if (mapped := entry.get("mapped")) is not None:
        as_far = sum(count for state, count in mapped["states"].items() if TASK_RANK[TaskState(state)] >= rank)
        return as_far == instances
    state = TaskState(entry["state"])
    # Airflow's own producer reports a retry as a failure, too.
    reached = TASK_RANK[state] >= rank or (said.state == "failed" and state is TaskState.UP_FOR_RETRY)
    return bool(entry["tryNumber"] > said.try_number or (entry["tryNumber"] == said.try_number and reached))


def is_in(state: str, entry: Object) -> bool:
    return bool(entry["state"] == state)


@pytest.mark.parametrize("row", [row for row, case in CASES.items() if case.silent])
def test_states_without_an_event_are_in_the_status_before_a_relist(row: str, story: Timeline) -> None:
    case = CASES[row]
    assert case.task
    for state in case.silent:
        assert state not in [told.state for told in story.told(case.job, case.task)]
        [first, *_] = [seen for seen in story.rest[case.job, case.task, -1] if seen.state == state]
        shown = story.shown_at(case.job, case.task, partial(is_in, state))
        assert shown is not None, f"{case.task} never was {state} in a status"
        assert shown - first.at < FEED


def test_run_without_a_message_is_shown_as_queued_from_its_submission_on(story: Timeline) -> None:
    phases = [status.get("phase") for _, status in story.statuses["events-deleted"]]
    assert "Queued" in phases
    assert "Running" not in phases


def test_deleted_run_is_detected_by_a_relist(story: Timeline) -> None:
    [missed_at, *_] = [at for at, status in story.statuses["events-deleted"] if status.get("reason") == "DagRunDeleted"]
    assert story.deleted_at is not None
    assert missed_at - story.deleted_at < RELIST
    assert story.status("events-deleted")["phase"] == "Failed"


def test_status_says_that_a_run_timed_out(story: Timeline) -> None:
    assert story.status("events-timeout")["phase"] == "Failed"


@pytest.mark.parametrize("job", [job for job in DAGS if job != "events-deleted"])
def test_final_status_agrees_with_airflow(job: str, story: Timeline, airflow: AirflowRest) -> None:
    assert not differences(story.status(job), airflow)
