"""What measurements stand on: a development stack of their own, with MLJobs of a DAG that is paused, so that their runs wait."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.servers import Airflow, Cluster, Credentials
from devstack.bootstrap import ROOT
from devstack.http import get
from devstack.progress import step
from devstack.stack import DEFAULT_TOPIC, Stack

DIRECTORY = ROOT / ".dev-bench"
DAGS = Path(__file__).parent / "dags"
DAG_ID = "bench_paused"
TASKS = 5
"""How many tasks that DAG has."""

AIRFLOW_SETTINGS = {
    # The tasks of benchmarks/delivery.py run one after the other, each a child of the same worker.
    "AIRFLOW__CORE__PARALLELISM": "1",
    # Airflow's own producer is a setting of all processes, but its list of task ids is read at each event.
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TASK_INSTANCE_EVENTS_ENABLED": "True",
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TASK_INSTANCE_TASK_ID_ALLOWLIST": "official_*,both_*",
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TOPIC": DEFAULT_TOPIC,
    "AIRFLOW__KAFKA_EVENT_PRODUCER__SOURCE": "devstack",
}


class NotInTime(RuntimeError):
    """Something that a measurement needs did not come about."""


class Stage:
    """The stack, and the servers in it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.credentials = Credentials.of(stack.kubeconfig)
        self.cluster = Cluster(self.credentials)
        env = stack.env
        self.airflow = Airflow(env["AIRFLOW_URL"], env["AIRFLOW_USER"], env["AIRFLOW_PASSWORD"])
        self.brokers = env["KAFKA_BOOTSTRAP_SERVERS"]
        self.topic = env["MLJOB_EVENTS_TOPIC"]

    def populate(self, namespace: str, count: int) -> list[str]:
        """Have a namespace with so many MLJobs; their names."""
        names = [f"job-{number:04d}" for number in range(count)]
        self.cluster.make_namespace(namespace)
        for name in names:
            self.cluster.create(namespace, name, DAG_ID)
        return names

    def wait_until_queued(self, namespace: str, count: int) -> dict[str, str]:
        """Until every MLJob has its run and knows its tasks; run ids by name."""

        def queued() -> dict[str, str]:
            found = {}
            for job in self.cluster.list(namespace):
                status = job.get("status") or {}
                if (status.get("taskCounts") or {}).get("total") == TASKS:
                    found[job["metadata"]["name"]] = status["dagRunId"]
            return found

        known: dict[str, str] = {}

        def all_queued() -> bool:
            known.update(queued())
            return len(known) == count

        with step(namespace, f"submitting {count} runs", lambda: f"{len(known)} of {count}"):
            wait_for(all_queued, f"{count} MLJobs in {namespace} with a run", 300, every=0.5)
        return known

    @contextmanager
    def operator(self, **variables: str) -> Iterator[psutil.Process]:
        """The operator as it is released, with the chart's ServiceAccount, and these settings."""
        environment = self.stack.operator_env() | variables
        url = f"http://{environment['MLJOB_HTTP_HOST']}:{environment['MLJOB_HTTP_PORT']}/readyz"

        def ready() -> bool:
            try:
                return bool(get(url))
            except OSError:
                return False

        with self.process("mljob_operator", environment) as process:
            wait_for(lambda: ready() or _ended(process), "the operator to be ready", 180)
            yield process

    @contextmanager
    def process(self, module: str, environment: Mapping[str, str]) -> Iterator[psutil.Process]:
        """A Python module as a process of its own; what it prints goes to a log beside the stack's."""
        file = self.stack.directory / "logs" / f"bench-{module.rpartition('.')[2]}.log"
        with file.open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "-m", module],
                env=os.environ | environment,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
            if _ended(process):
                raise NotInTime(f"{module} ended by itself")
        except NotInTime as problem:
            # The log goes with the stack, so the end of it is told here.
            raise NotInTime(f"{problem}; {module} said last:\n{file.read_text()[-2000:]}") from problem
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except psutil.TimeoutExpired:
                process.kill()


@contextmanager
def stage() -> Iterator[Stage]:
    """Bring the stack up, and take it down with all data."""
    if os.environ.get("CLUSTER_KUBECONFIG"):
        raise NotInTime("benchmarks fill a cluster with MLJobs and leave them: unset CLUSTER_KUBECONFIG")
    stack = Stack(DIRECTORY)
    # What an interrupted run left behind would be measured too.
    stack.remove()
    try:
        stack.up(operator=False, dags_folders=[DAGS], extra_env=AIRFLOW_SETTINGS)
        made = Stage(stack)
        with step("airflow", f"reading DAG {DAG_ID}"):
            wait_for(lambda: made.airflow.knows(DAG_ID), f"DAG {DAG_ID} in Airflow", 120, every=0.5)
        yield made
    finally:
        stack.remove()


def _ended(process: psutil.Process) -> bool:
    """Also where nobody has asked for its exit code yet: then it is a zombie."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for(holds: Callable[[], bool], what: str, seconds: float, every: float = 0.1) -> None:
    """Until it holds.

    Raises:
        NotInTime: It does not.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise NotInTime(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)
