"""Fixtures for all tests: one stack for the whole session, and operators that use the stack. The
stack has a Kubernetes control plane, an Airflow and a Kafka broker.

The stack is in ``.dev-test``, and is removed when the session ends. With ``KEEP_TEST_STACK=1`` the
stack stays, and the next session with ``KEEP_TEST_STACK=1`` uses the stack. After a failed test,
the stack's logs stay in ``.dev-test-logs``.

With ``--airflow oldest``, pytest runs the tests marked ``every_airflow`` or ``oldest_airflow`` on
the oldest supported Airflow, with the stack in ``.dev-test-oldest``. By default, pytest uses the
newest Airflow and skips the tests marked ``oldest_airflow``.

Tests that use the stack are marked ``live``. ``pytest -n 4 --dist loadfile -m "live and not
disruptive"`` runs live tests in parallel (:mod:`tests.live.sharing`).
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import uuid
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import pytest

from devstack import binaries
from devstack.bootstrap import AIRFLOW_ENVIRONMENTS, NEWEST, OLDEST
from devstack.caches import locked, remove_tree
from devstack.processes import Launch
from devstack.progress import say
from devstack.stack import DEFAULT_TOPIC, Stack
from tests.live import sharing
from tests.live.airflow import AirflowRest
from tests.live.dag_repository import DagRepository
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.live.mljobs import MLJobs
from tests.live.operators import OperatorProcess, grant_leases
from tests.live.preloaded import PreloadedOperators

ROOT = Path(__file__).resolve().parent.parent
DIRECTORIES = {NEWEST: ROOT / ".dev-test", OLDEST: ROOT / ".dev-test-oldest"}
DAGS_FOLDERS = (ROOT / "tests" / "e2e" / "dags", ROOT / "tests" / "e2e" / "dags_broken")
REMOVABLE = "removable_dags"
"""A folder of DAGs in the stack's directory, for tests that add and remove DAG files."""
DAG_REPOSITORY = "versioned_dags"
"""A git repository of DAGs in the stack's directory, for tests that change a DAG while its runs
keep their version.
"""
DEFAULT_TIMEOUT = 600
SESSION = "MLJOB_TEST_SESSION"
"""The environment variable with the session's id. A session doesn't start the stack again if a
session with the same id has started the stack.
"""
KEEP = bool(os.environ.get("KEEP_TEST_STACK"))
SHOWN_LOGS = pytest.StashKey[set[str]]()
SHOWN_BEFORE = "(The report of an earlier failed test shows this end of the log.)"

LINES_OF_LOG = 30
"""The number of log lines that the report of a failed test shows for each component of the stack
that is not ready.
"""

PARALLELISM = 10
"""The number of tasks that run at the same time in the tests' Airflow.

Each task is a process, and more processes would wait for a processor.
"""

AIRFLOW_SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
    # The scheduler's loop takes most of the scheduler's processor time while nothing is to be done.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    # Unchanged files are parsed once. New and changed files are parsed at the next refresh.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    # No test restarts the database, so no connection of a pool breaks. The check of a connection
    # takes three round trips before each use.
    "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_PRE_PING": "False",
    "AIRFLOW__CORE__EXECUTOR": "preloading.PreloadingExecutor",
    "PYTHONPATH": str(ROOT / "tests" / "live" / "airflow_executors"),
    # Every task of every DAG sends events, also in DAGs that know nothing of MLJobs ...
    "AIRFLOW__MLJOB__INSTRUMENT_ALL_DAGS": "True",
    # ... and Airflow's own producer sends events to the same topic. Both have to lead to the same
    # status.
    "AIRFLOW__KAFKA_EVENT_PRODUCER__DAG_RUN_EVENTS_ENABLED": "True",
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TASK_INSTANCE_EVENTS_ENABLED": "True",
    "AIRFLOW__KAFKA_EVENT_PRODUCER__TOPIC": DEFAULT_TOPIC,
    "AIRFLOW__KAFKA_EVENT_PRODUCER__SOURCE": "devstack",
    # The monitoring DAGs are paused by default. tests/e2e/test_monitoring.py creates the Connection
    # and the topic.
    "AIRFLOW__MLJOB__SLACK_CONN_ID": "slack_tests",
    "AIRFLOW__MLJOB__SLACK_CHANNEL": "#platform",
    "AIRFLOW__MLJOB__REPORT_URL": "http://reports.example",
    "AIRFLOW__MLJOB__REPORT_TOPIC": "airflow.reports",
    # The monitoring DAGs run only when a test triggers them, because their messages depend on
    # earlier runs.
    "AIRFLOW__MLJOB__MONITOR_SCHEDULE": "none",
    "AIRFLOW__MLJOB__BOTTLENECKS_SCHEDULE": "none",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--airflow",
        choices=AIRFLOW_ENVIRONMENTS,
        default=NEWEST,
        help="the Airflow to run with; only tests for this Airflow run",
    )
    parser.addoption(
        "--leave-stack",
        action="store_true",
        help=f"leave the stack to the next session with the same value of {SESSION}",
    )


def pytest_configure(config: pytest.Config) -> None:
    # Workers inherit this id. If the variable is set already, several runs of pytest share one
    # stack.
    os.environ.setdefault(SESSION, uuid.uuid4().hex)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return sharing.scheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    airflow = config.getoption("airflow")
    wanted: list[pytest.Item] = []
    others: list[pytest.Item] = []
    for item in items:
        (wanted if airflow in _airflows(item) else others).append(item)
    config.hook.pytest_deselected(items=others)
    for item in wanted:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.live)
        if item.get_closest_marker("live"):
            given = item.get_closest_marker("timeout")
            seconds = given.args[0] if given else DEFAULT_TIMEOUT
            # The first start of a stack takes minutes, so the timeout leaves out the fixtures.
            item.add_marker(pytest.mark.timeout(seconds, func_only=True), append=False)
    items[:] = sharing.arranged(wanted)


def pytest_collection_finish() -> None:
    """Keep the collected tests out of garbage collections. They live until the end, and looking at
    them took a tenth of the processor time of the unit tests.
    """
    gc.collect()
    gc.freeze()


def _airflows(item: pytest.Item) -> tuple[str, ...]:
    if item.get_closest_marker("oldest_airflow"):
        return (OLDEST,)
    return (NEWEST, OLDEST) if item.get_closest_marker("every_airflow") else (NEWEST,)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the last lines of these logs to the report of a failed test:

    - The log of the operator of each :class:`.Installation` among the test's fixtures. If the
      report already names an operator, the log of this operator is left out.
    - The log of each stack component that is not ready.
    """
    report = yield
    if report.failed:
        shown = item.session.stash.setdefault(SHOWN_LOGS, set())
        for name, value in getattr(item, "funcargs", {}).items():
            ends: list[tuple[str, str]] = []
            if isinstance(value, Stack):
                ends += [(f"{part}, which is {state}", log) for part, state, log in _not_ready(value)]
            if isinstance(value, Installation) and value.operator.name not in report.longreprtext:
                ends.append((f"operator of {name}", value.operator.log_end()))
            for title, log in ends:
                report.sections.append((title, log if log not in shown else SHOWN_BEFORE))
                shown.add(log)
    return report


def _not_ready(stack: Stack) -> Iterator[tuple[str, str, str]]:
    for name, state in stack.states().items():
        if state != "ready" and name != "operator":
            log = stack.log(name)
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            yield name, state, "\n".join(lines[-LINES_OF_LOG:])


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    directory = _directory(request.config)
    with pytest.MonkeyPatch.context() as environment:
        # The folder for the example DAGs' datasets and models, which Airflow's processes inherit.
        # The data of a demo must not make a test succeed.
        environment.setenv("MLJOB_DATA_DIR", str(directory / "data"))
        _bring_up(request.config, directory)
        yield Stack(directory)


def _directory(config: pytest.Config) -> Path:
    return DIRECTORIES[config.getoption("airflow")]


def _bring_up(config: pytest.Config, directory: Path) -> None:
    """Start the session's stack, unless another process of pytest has started the stack for the
    same session.
    """
    of_session = directory / "session"
    settings = AIRFLOW_SETTINGS
    with _shown(config), locked(directory.with_name(f"{directory.name}.lock"), "starting the tests' stack"):
        if _session_of(directory) == [os.environ[SESSION], "up"]:
            return
        say(f"\n  the tests' stack, in {directory.name}:")
        stack = Stack(directory)
        if not KEEP:
            stack.remove()
        remove_tree(_logs(directory))
        directory.mkdir(mode=0o700, exist_ok=True)
        of_session.write_text(f"{os.environ[SESSION]} begun")
        airflow = config.getoption("airflow")
        removable = directory / REMOVABLE
        removable.mkdir(exist_ok=True)
        stack.up(
            operator=False,
            dags_folders=(*DAGS_FOLDERS, removable),
            dags_repositories=_repositories(directory, airflow),
            extra_env=settings,
            airflow=airflow,
        )
        grant_leases(stack.kubeconfig)
        of_session.write_text(f"{os.environ[SESSION]} up")


def _repositories(directory: Path, airflow: str) -> tuple[Path, ...]:
    # The oldest Airflow's environment lacks the provider for git.
    if airflow == OLDEST:
        return ()
    repository = DagRepository(directory / DAG_REPOSITORY)
    repository.create()
    return (repository.directory,)


def _session_of(directory: Path) -> list[str]:
    """Return two texts: the id of the session that started the stack, and ``up`` if the stack has
    started completely, otherwise ``begun``. Return an empty list if there is no stack.
    """
    of_session = directory / "session"
    return of_session.read_text().split() if of_session.exists() else []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove the session's stack after all workers of pytest-xdist have ended, unless
    ``KEEP_TEST_STACK`` or ``--leave-stack`` is set. ``--leave-stack`` does not apply to an
    interrupted session.
    """
    directory = _directory(session.config)
    if sharing.is_worker(session.config) or os.environ[SESSION] not in _session_of(directory):
        return
    interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    with _shown(session.config):
        logs = _logs(directory)
        if session.testsfailed and (directory / "logs").exists():
            shutil.copytree(directory / "logs", logs, dirs_exist_ok=True)
            say(f"\n  logs of the stack and of the operators are in {logs.name}")
        if not KEEP and (interrupted or not session.config.getoption("leave_stack")):
            Stack(directory).remove()


def _logs(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-logs")


def _shown(config: pytest.Config) -> AbstractContextManager[None]:
    """Return a context in which pytest shows output at once."""
    manager = config.pluginmanager.getplugin("capturemanager")
    shown: AbstractContextManager[None] = manager.global_and_fixture_disabled() if manager else nullcontext()
    return shown


@pytest.fixture(scope="session")
def airflow(stack: Stack) -> Iterator[AirflowRest]:
    env = stack.env
    airflow = AirflowRest(env["AIRFLOW_URL"], env["AIRFLOW_USER"], env["AIRFLOW_PASSWORD"])
    yield airflow
    airflow.close()


@pytest.fixture(scope="session")
def dag_repository(stack: Stack) -> DagRepository:
    """A git repository from which Airflow reads DAGs, in addition to the folders of DAGs. The
    oldest Airflow has no such repository.
    """
    return DagRepository(stack.directory / DAG_REPOSITORY)


@pytest.fixture(scope="session")
def kubectl(stack: Stack) -> Kubectl:
    return Kubectl(binaries.locate("kubectl")["kubectl"], stack.kubeconfig, "default", stack.directory / "watches")


class NewInstallation(Protocol):
    """A function that creates a namespace, and an operator for this namespace only. ``overrides``
    are environment variables of the operator.
    """

    def __call__(self, name: str, *, start: bool = ..., **overrides: str) -> Installation: ...


@pytest.fixture(scope="session")
def launch(stack: Stack) -> Iterator[Launch]:
    with PreloadedOperators({"KUBECONFIG": stack.operator_env()["KUBECONFIG"]}) as operators:
        yield operators.launch


@pytest.fixture(scope="session")
def shared_installation(stack: Stack, kubectl: Kubectl, launch: Launch) -> Iterator[NewInstallation]:
    """A :class:`NewInstallation` whose operators run until the session ends."""
    with _installer(stack, kubectl, launch) as make:
        yield make


@pytest.fixture(scope="module")
def new_installation(stack: Stack, kubectl: Kubectl, launch: Launch) -> Iterator[NewInstallation]:
    """A :class:`NewInstallation` whose operators run until the last test of the module ends. An idle
    operator still takes processor time, its own and Airflow's.
    """
    with _installer(stack, kubectl, launch) as make:
        yield make


@pytest.fixture
def installation(stack: Stack, kubectl: Kubectl, launch: Launch) -> Iterator[NewInstallation]:
    """A :class:`NewInstallation` whose operators run until the test ends."""
    with _installer(stack, kubectl, launch) as make:
        yield make


@contextmanager
def _installer(stack: Stack, kubectl: Kubectl, launch: Launch) -> Iterator[NewInstallation]:
    with ExitStack() as at_the_end:

        def make(name: str, *, start: bool = True, **overrides: str) -> Installation:
            namespace = f"{name}-{secrets.token_hex(3)}"
            kubectl("create", "namespace", namespace)
            operator = OperatorProcess(stack, name, namespace, overrides, launch)
            at_the_end.callback(operator.stop)
            if start:
                operator.start()
            return Installation(operator, MLJobs(kubectl.within(namespace), operator.log_end))

        yield make


@pytest.fixture(scope="session")
def with_kafka(shared_installation: NewInstallation) -> Installation:
    return shared_installation(sharing.own_name("with-kafka"), MLJOB_DEAD_LETTER_TOPIC="mljob.unreadable")


@pytest.fixture(scope="session")
def rest_only(shared_installation: NewInstallation) -> Installation:
    return shared_installation(sharing.own_name("rest-only"), MLJOB_KAFKA_BOOTSTRAP_SERVERS="")
