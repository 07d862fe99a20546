"""Runs the MLJobs of the test of events, acts on their tasks and runs, and records what happens."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import urllib3

from devstack.stack import Stack
from tests.e2e.event_table import CASES, DAGS, Case, rows
from tests.live import airflow_database
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Watch
from tests.live.mljobs import Object, finished, manifest
from tests.live.topic import AIRFLOWS, OURS, Told, Topic

PRODUCERS = (OURS, AIRFLOWS)
BOUND = 300
"""The longest time for all that happens in the test, in seconds."""


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

    def in_airflow_at(self, job: str, task: str, state: str) -> float | None:
        """Return when Airflow's REST API first showed a task in ``state``, or None."""
        return next((seen.at for seen in self.rest.get((job, task, -1), ()) if seen.state == state), None)


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
                lambda: (
                    story.shown("events-no-slot", "no_slot") == "scheduled"
                    and story.in_airflow_at("events-no-slot", "no_slot", "scheduled")
                ),
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
        """Return whether the status and the timeline of Airflow's REST API show that the task waits
        in ``state``, and the scheduler knows that the task's process has ended. If the task
        continues before the scheduler knows this, Airflow 3.3.2 sets the task to failed.
        """
        if self.story.shown(job, task) != state or not self.story.in_airflow_at(job, task, state):
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
        self._look_at_airflow(rest)
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
