"""The stack on which the benchmarks run: the Kubernetes API, Kafka, and a simulated or a real
Airflow. This stack is separate from the stack that ``make up`` starts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.servers import Airflow, Cluster, Credentials
from benchmarks.simulated_airflow.catalog import PAUSED
from devstack.bootstrap import NEWEST, ROOT, SIMULATED
from devstack.http import get
from devstack.progress import step
from devstack.simulated_airflow import OPTIONS
from devstack.stack import DEFAULT_TOPIC, Stack

DIRECTORY = ROOT / ".dev-bench"
DAGS = Path(__file__).parent / "dags"
DAG_ID = PAUSED
TASKS = 5
"""How many tasks the DAG ``DAG_ID`` has."""

AIRFLOW_SETTINGS = {
    # The tasks of benchmarks/delivery.py run one after the other, each as a child of the same
    # worker.
    "AIRFLOW__CORE__PARALLELISM": "1",
    # Airflow's own producer is enabled for whole processes. This list of task ids selects the tasks
    # whose events it sends.
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TASK_INSTANCE_EVENTS_ENABLED": "True",
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TASK_INSTANCE_TASK_ID_ALLOWLIST": "official_*,both_*",
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TOPIC": DEFAULT_TOPIC,
    "AIRFLOW__KAFKA_EVENT_PRODUCER__SOURCE": "devstack",
}


class MeasurementError(RuntimeError):
    """A measurement failed, for example because a process exited."""


class BenchStack:
    """The stack of a benchmark, with clients for the Kubernetes API and Airflow's REST API."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.credentials = Credentials.of(stack.kubeconfig)
        self.cluster = Cluster(self.credentials)
        env = stack.env
        self.airflow = Airflow(env["AIRFLOW_URL"], env["AIRFLOW_USER"], env["AIRFLOW_PASSWORD"])
        self.brokers = env["KAFKA_BOOTSTRAP_SERVERS"]
        self.topic = env["MLJOB_EVENTS_TOPIC"]

    def populate(self, namespace: str, count: int) -> list[str]:
        """Create a namespace with `count` MLJobs, and return their names."""
        names = [f"job-{number:04d}" for number in range(count)]
        self.cluster.make_namespace(namespace)
        for name in names:
            self.cluster.create(namespace, name, DAG_ID)
        return names

    def wait_until_queued(self, namespace: str, count: int) -> dict[str, str]:
        """Wait until the statuses of all ``count`` MLJobs in a namespace show a run and its tasks.
        Return the run ids by the MLJobs' names.

        Raises:
            MeasurementError: At least one status did not show the run and its tasks within 300
                seconds.
        """

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

    def cpu_seconds(self, component: str) -> float:
        """Return the CPU time in seconds that the process of a component has used since the process
        started.

        Raises:
            MeasurementError: The component does not run.
        """
        pid = self.stack.pid(component)
        if pid is None:
            raise MeasurementError(f"{component} does not run")
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)

    def log_lines(self, module: str, *texts: str) -> int:
        """Return the number of lines that contain at least one of ``texts``. The lines are the
        output of all processes of the Python module ``module`` that :meth:`process` has started.
        """
        file = self._log(module)
        if not file.exists():
            return 0
        with file.open(errors="replace") as lines:
            return sum(any(text in line for text in texts) for line in lines)

    def _log(self, module: str) -> Path:
        return self.stack.directory / "logs" / f"bench-{module.rpartition('.')[2]}.log"

    @contextmanager
    def operator(self, **variables: str) -> Iterator[psutil.Process]:
        """Run the operator during the ``with`` block, and yield its process. The block begins when
        the operator is ready.

        Args:
            variables: Environment variables. These override the stack's default settings of the
                operator.

        Raises:
            MeasurementError: The operator was not ready within 180 seconds, or exited before the
                end of the block.
        """
        environment = self.stack.operator_env() | variables
        url = f"http://{environment['MLJOB_HTTP_HOST']}:{environment['MLJOB_HTTP_PORT']}/readyz"

        def ready() -> bool:
            try:
                return bool(get(url))
            except OSError:
                return False

        with self.process("mljob_operator", environment) as process:
            wait_for(lambda: ready() or _ended(process), "the operator to be ready", 180)
            if _ended(process):
                raise MeasurementError("mljob_operator exited before it was ready")
            yield process

    @contextmanager
    def process(
        self, module: str, environment: Mapping[str, str], arguments: Sequence[str] = ()
    ) -> Iterator[psutil.Process]:
        """Run a Python module as a process during the ``with`` block, and yield the process.

        Raises:
            MeasurementError: The process exited before the end of the block.
        """
        file = self._log(module)
        with file.open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "-m", module, *arguments],
                env=os.environ | environment,
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield process
            if _ended(process):
                raise MeasurementError(f"{module} exited during the measurement")
        except MeasurementError as error:
            # The log is deleted with the stack, so the message shows its end.
            raise MeasurementError(f"{error}. The last lines of {module}:\n{file.read_text()[-2000:]}") from error
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except psutil.TimeoutExpired:
                process.kill()


@contextmanager
def bench_stack(*, simulated: bool, options: str = "") -> Iterator[BenchStack]:
    """Start the stack without an operator. After the ``with`` block, remove the stack and all its
    data.

    Args:
        simulated: Whether Airflow is simulated.
        options: Further options of ``python -m benchmarks.simulated_airflow``, as one text.

    Raises:
        MeasurementError: The environment variable ``CLUSTER_KUBECONFIG`` is set.
    """
    if os.environ.get("CLUSTER_KUBECONFIG"):
        raise MeasurementError(
            "CLUSTER_KUBECONFIG is set, but benchmarks would leave thousands of MLJobs in that cluster: unset it"
        )
    stack = Stack(DIRECTORY)
    # Objects of an interrupted run would change the results.
    stack.remove()
    try:
        if simulated:
            stack.up(operator=False, airflow=SIMULATED, extra_env={OPTIONS: options} if options else {})
        else:
            stack.up(operator=False, dags_folders=[DAGS], extra_env=AIRFLOW_SETTINGS, airflow=NEWEST)
        yield BenchStack(stack)
    finally:
        stack.remove()


def _ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def wait_for(holds: Callable[[], bool], what: str, seconds: float, every: float = 0.1) -> None:
    """Wait until `holds` returns True.

    Args:
        holds: The condition.
        what: The awaited event, for the error's message: for example, "the operator to be ready".
        seconds: The maximum time to wait.
        every: The seconds between two calls of `holds`.

    Raises:
        MeasurementError: `holds` has not returned True within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise MeasurementError(f"timed out after {seconds:.0f} s waiting for {what}")
        time.sleep(every)
