from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack import stack as stack_module
from devstack.bootstrap import NEWEST, OLDEST, SIMULATED
from devstack.choices import Choices, chosen_environment
from devstack.component import Component, Step
from devstack.errors import NotReadyError, StackError
from devstack.launcher import Launcher
from devstack.processes import Command
from devstack.stack import Stack
from tests.live.eventually import eventually


@pytest.fixture
def bare_stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "stack")


def sleeper(
    name: str, *, ready: Callable[[], bool] = lambda: True, needs: tuple[str, ...] = (), bound: float = 30
) -> Component:
    return Component(name, lambda: Command(("sleep", "300")), ready, needs=needs, bound=bound)


@pytest.fixture
def run(bare_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A function that runs components and steps with a `Launcher`. The components end after the
    test.
    """
    names: list[str] = []

    def run(*parts: Component | Step) -> None:
        names.extend(part.name for part in parts)
        Launcher(bare_stack.directory).run(list(parts))

    yield run
    for name in names:
        bare_stack._process(name).kill()


def test_a_part_starts_after_the_parts_that_it_needs(run: Callable[..., None]) -> None:
    order: list[str] = []
    run(
        Step("third", lambda: order.append("third"), needs=("second", "first")),
        Step("second", lambda: order.append("second"), needs=("first",)),
        Step("first", lambda: order.append("first")),
    )
    assert order == ["first", "second", "third"]


def test_independent_parts_run_at_the_same_time(run: Callable[..., None]) -> None:
    both = threading.Barrier(2, timeout=60)

    def meet() -> None:
        both.wait()

    run(Step("one", meet), Step("other", meet))


def test_the_error_names_a_part_that_needs_an_unknown_part(run: Callable[..., None]) -> None:
    with pytest.raises(StackError, match="operator"):
        run(Step("operator", lambda: None, needs=("airflow",)))


BOUND = 180.0
"""Seconds within which a component must be ready. A component that is not ready then has failed to
start.
"""


def test_the_failure_of_one_part_does_not_wait_for_the_others(run: Callable[..., None], bare_stack: Stack) -> None:
    def fail() -> None:
        eventually(lambda: bare_stack.pid("slow"), "the other part starts")
        raise StackError("helm failed")

    began = time.monotonic()
    with pytest.raises(StackError, match="helm failed"):
        run(sleeper("slow", ready=lambda: False, bound=BOUND), Step("chart", fail))
    assert time.monotonic() - began < BOUND
    assert bare_stack.pid("slow") is not None, "the next `up` continues with this component"


def test_interrupting_a_part_interrupts_the_others(run: Callable[..., None], bare_stack: Stack) -> None:
    def interrupt() -> None:
        eventually(lambda: bare_stack.pid("slow"), "the other part starts")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sleeper("slow", ready=lambda: False, bound=60), Step("binaries", interrupt))


def test_up_continues_after_a_failure(run: Callable[..., None], bare_stack: Stack) -> None:
    with pytest.raises(NotReadyError, match="not ready after"):
        run(sleeper("kafka", ready=lambda: False, bound=0.2))
    run(sleeper("kafka"))
    assert bare_stack.pid("kafka") is not None


def test_the_error_of_a_component_that_stops_while_it_starts_has_its_log(run: Callable[..., None]) -> None:
    dying = Component("kafka", lambda: Command(("bash", "-c", "echo no memory; exit 1")), lambda: False)
    with pytest.raises(NotReadyError, match="no memory"):
        run(dying)


def test_a_component_with_another_command_is_restarted(run: Callable[..., None], bare_stack: Stack) -> None:
    run(sleeper("kafka"))
    before = bare_stack.pid("kafka")
    run(sleeper("kafka"))
    assert bare_stack.pid("kafka") == before
    run(Component("kafka", lambda: Command(("sleep", "301")), lambda: True))
    assert bare_stack.pid("kafka") not in (before, None)


def test_down_stops_every_component_and_keeps_the_data(run: Callable[..., None], bare_stack: Stack) -> None:
    run(sleeper("kafka"), sleeper("etcd"))
    bare_stack.down()
    assert (bare_stack.pid("kafka"), bare_stack.pid("etcd")) == (None, None)
    assert bare_stack.log("kafka").exists()


def test_down_does_nothing_if_nothing_was_started(bare_stack: Stack) -> None:
    bare_stack.down()
    assert not bare_stack.directory.exists()


def test_the_operator_does_not_get_the_variables_of_the_stack_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLJOB_CACHE_DIR", "cache")
    monkeypatch.setenv("MLJOB_RESYNC_SECONDS", "5")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
    overrides = chosen_environment({"MLJOB_RESYNC_SECONDS": "7"})
    assert overrides["MLJOB_RESYNC_SECONDS"] == "7"
    assert overrides["AIRFLOW__CORE__PARALLELISM"] == "3"
    assert "MLJOB_CACHE_DIR" not in overrides


@pytest.fixture
def airflows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    environments = {NEWEST: tmp_path / "newest", OLDEST: tmp_path / "oldest"}
    for environment in environments.values():
        environment.mkdir()
    monkeypatch.setattr(stack_module, "AIRFLOW_ENVIRONMENTS", environments)
    return environments


@pytest.fixture
def idle_stack(bare_stack: Stack, airflows: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose `up` starts no processes. Instead, `up` creates the file that marks Airflow's
    database as migrated.
    """
    database = bare_stack.directory / "airflow" / "migrated"
    database.parent.mkdir(parents=True)
    monkeypatch.setattr(bare_stack._launcher, "run", lambda _: database.touch())
    monkeypatch.setattr(bare_stack, "_write_env", lambda: None)
    return bare_stack


def airflow_of(bare_stack: Stack) -> str:
    arguments = Stack(bare_stack.directory)._component("airflow-api-server").command().arguments
    return next(argument for argument in arguments if argument.endswith("bin/airflow"))


def test_a_stack_runs_the_airflow_that_it_was_started_with(idle_stack: Stack, airflows: dict[str, Path]) -> None:
    idle_stack.up(operator=False, airflow=OLDEST)
    assert airflow_of(idle_stack) == str(airflows[OLDEST] / "bin" / "airflow")
    idle_stack.up(operator=False)
    assert airflow_of(idle_stack) == str(airflows[NEWEST] / "bin" / "airflow")


def test_an_older_airflow_does_not_start_with_the_database_of_a_newer_one(idle_stack: Stack) -> None:
    idle_stack.up(operator=False)
    with pytest.raises(StackError, match=r"with `make clean`, or start another stack with DEV_DIR=stack-oldest"):
        idle_stack.up(operator=False, airflow=OLDEST)


def test_the_error_of_a_missing_airflow_names_the_command_that_installs_it(
    idle_stack: Stack, airflows: dict[str, Path]
) -> None:
    airflows[OLDEST].rmdir()
    with pytest.raises(StackError, match=r"oldest does not exist: make it with python3 devstack/bootstrap.py oldest"):
        idle_stack.up(operator=False, airflow=OLDEST)


def test_the_variables_of_coverage_reach_airflow_and_not_the_operator(
    monkeypatch: pytest.MonkeyPatch, bare_stack: Stack
) -> None:
    monkeypatch.setenv("COVERAGE_PROCESS_START", "coverage.ini")
    monkeypatch.setenv("COVERAGE_FILE", "lines")
    bare_stack._choices = Choices(environment=chosen_environment({}))
    assert bare_stack._airflow.environment()["COVERAGE_PROCESS_START"] == "coverage.ini"
    assert bare_stack._airflow.environment()["COVERAGE_FILE"] == "lines"
    assert not any(name.startswith("COVERAGE") for name in bare_stack._operator.environment())


def test_the_data_of_the_example_dags_is_in_the_stack_unless_a_person_chooses_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLJOB_DATA_DIR", raising=False)
    stack = Stack(tmp_path / "stack")
    assert stack._airflow.environment()["MLJOB_DATA_DIR"] == str(stack.directory / "data")
    monkeypatch.setenv("MLJOB_DATA_DIR", "/srv/models")
    chosen = Stack(tmp_path / "stack")
    chosen._choices = Choices(environment=chosen_environment({}))
    assert chosen._airflow.environment()["MLJOB_DATA_DIR"] == "/srv/models"


def test_folders_and_git_repositories_are_dag_bundles_with_names_of_their_own(idle_stack: Stack) -> None:
    folders = (idle_stack.directory / "team" / "dags", idle_stack.directory / "other-team" / "dags")
    idle_stack.up(operator=False, dags_folders=folders, dags_repositories=(idle_stack.directory / "repository",))
    configured = json.loads(idle_stack.airflow_env()["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    bundles = {bundle["name"]: (bundle["classpath"].rpartition(".")[2], bundle["kwargs"]) for bundle in configured}
    assert bundles["dags"] == ("LocalDagBundle", {"path": str(folders[0])})
    assert bundles["dags_"] == ("LocalDagBundle", {"path": str(folders[1])})
    assert bundles["repository"] == (
        "GitDagBundle",
        {"repo_url": str(idle_stack.directory / "repository"), "tracking_ref": "main"},
    )


def test_simulated_airflow_takes_the_place_of_a_real_one_and_its_database(idle_stack: Stack) -> None:
    idle_stack.up(operator=False, airflow=SIMULATED, extra_env={"SIMULATED_AIRFLOW_OPTIONS": "--seed 7"})
    names = {part.name for part in idle_stack._parts()}
    assert "airflow-simulated" in names
    assert not names & {"postgres", "database", "airflow-migration", "airflow-scheduler"}
    command = idle_stack._component("airflow-simulated").command()
    assert command.arguments[-2:] == ("--seed", "7")
    assert idle_stack.env["AIRFLOW_PASSWORD"] == command.environment["SIMULATED_AIRFLOW_PASSWORD"]
    assert idle_stack.env["AIRFLOW_PASSWORD"] not in command.arguments
    idle_stack.up(operator=False)
    assert "airflow-scheduler" in {part.name for part in idle_stack._parts()}
