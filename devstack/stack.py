"""Starts and stops all components of a stack. A stack is an Airflow, an operator and the services
that they need, in one directory.

Several stacks can run side by side, each in its own directory with its own ports and data.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from devstack import binaries
from devstack.airflow import DATA_DIR, USER, Airflow
from devstack.bootstrap import AIRFLOW_ENVIRONMENTS, ENVIRONMENT, NEWEST, OLDEST, SIMULATED
from devstack.caches import locked, remove_tree
from devstack.choices import COVERAGE, Choices, chosen_environment
from devstack.component import Component, Step
from devstack.control_plane import ControlPlane, Kubectl
from devstack.errors import StackError
from devstack.kafka import Kafka
from devstack.launcher import Launcher, is_ready
from devstack.mljob_api import MLJobApi
from devstack.operator_process import Operator
from devstack.ports import Ports
from devstack.postgres import Postgres
from devstack.processes import ManagedProcess, end_marked
from devstack.progress import elapsed, say
from devstack.secrets_file import Secrets
from devstack.simulated_airflow import OPTIONS, SimulatedAirflow

DEFAULT_TOPIC = "airflow.events"


class Stack:
    """The development stack in one directory.

    Args:
        directory: The directory for the stack's data, logs, ports and secrets.
        cluster_kubeconfig: The kubeconfig of an existing cluster. The default is the environment
            variable `CLUSTER_KUBECONFIG`. If neither is set, the stack starts its own control
            plane.
    """

    def __init__(self, directory: Path, cluster_kubeconfig: Path | None = None) -> None:
        self.directory = directory.resolve()
        self._given_cluster = cluster_kubeconfig
        self._choices = Choices.read(self._choices_file)
        self.ports = Ports(self.directory)
        self._secrets = Secrets(self.directory)
        self._launcher = Launcher(self.directory)

    def up(
        self,
        *,
        operator: bool = True,
        dags_folders: Sequence[Path | str] = (),
        dags_repositories: Sequence[Path | str] = (),
        extra_env: Mapping[str, str] | None = None,
        airflow: str = NEWEST,
    ) -> Stack:
        """Start every component of the stack that is not running. Restart a running component if it
        is not ready, or if its command has changed.

        Args:
            operator: Whether the operator runs. If false, a running operator is stopped. The
                operator's Helm chart is installed in both cases.
            dags_folders: Additional folders with DAGs.
            dags_repositories: Additional git repositories, whose branch `main` has DAGs. The
                Airflow `oldest` can't use them, because its environment has no provider for git.
            extra_env: Environment variables. Airflow gets the variables `AIRFLOW*`,
                `PYTHONPATH` and `MLJOB_DATA_DIR`, and the operator gets the variables `MLJOB_*`.
                Each of these variables overrides the variable of the same name in the caller's
                environment. Variables for the stack itself, such as `MLJOB_CACHE_DIR`, have no
                effect here.
            airflow: `newest` or `oldest` for a supported version of Airflow, or `simulated` for
                the simulated Airflow of the benchmarks.

        Raises:
            StackError: A component failed or did not become ready. Or the Python environment of the
                requested Airflow does not exist. Or the Airflow `oldest` was requested, but
                the Airflow `newest` has already migrated the database.
        """
        started = time.monotonic()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self.directory / "lock", f"starting or stopping the stack in {self.directory}"):
            self._assert_can_run(airflow)
            if SIMULATED in (airflow, self._choices.airflow) and airflow != self._choices.airflow:
                self._stop_airflow()
            self._choices = Choices(
                operator,
                [str(Path(folder).resolve()) for folder in dags_folders],
                [str(Path(repository).resolve()) for repository in dags_repositories],
                chosen_environment(extra_env or {}),
                airflow,
            )
            self._choices.write(self._choices_file)
            self._reset()
            parts = self._parts()
            for part in parts:
                if isinstance(part, Component) and self._process(part.name).pid is None:
                    self.ports.forget_taken(list(part.ports))
            if not self._choices.operator:
                self._process("operator").stop()
            self._launcher.run(parts)
            self._write_env()
        say(f"  the stack is up ({elapsed(time.monotonic() - started)})")
        return self

    def down(self) -> None:
        """Stop every component of the stack. The stack's data and ports are kept."""
        if not self.directory.exists():
            return
        with locked(self.directory / "lock", f"starting or stopping the stack in {self.directory}"):
            for wave in _SHUTDOWN:
                running = [name for name in wave if self._process(name).exists()]
                with ThreadPoolExecutor(max_workers=8) as pool:
                    list(pool.map(lambda name: self._process(name).stop(_PATIENCE.get(name, 15.0)), running))
                for name in running:
                    say(f"  {name:<24} stopped")
            end_marked(self.directory)

    def remove(self) -> None:
        """Stop every component and delete the directory with all data."""
        self.down()
        Postgres(self.directory, self.ports, self._secrets, None).remove()
        remove_tree(self.directory)

    def start(self, name: str) -> None:
        """Start one component, and wait until it is ready. The component uses the same port and
        data as before.
        """
        self._launcher.start(self._component(name))

    def stop(self, name: str) -> None:
        """Stop one component."""
        self._process(name).stop(self._component(name).patience)

    def kill(self, name: str) -> None:
        """Kill one component and its children with SIGKILL."""
        self._component(name)
        self._process(name).kill()

    def restart(self, name: str) -> None:
        """Stop one component, and start it again."""
        self.stop(name)
        self.start(name)

    def pid(self, name: str) -> int | None:
        """Return the process id of a component, or None while the component does not run."""
        return self._process(name).pid

    def log(self, name: str) -> Path:
        """Return the path of a component's log file."""
        return self._process(name).log

    def states(self) -> dict[str, str]:
        """Return the state of each component by name: `stopped`, `running` (but not ready) or
        `ready`.
        """
        return {
            component.name: "stopped"
            if self.pid(component.name) is None
            else "ready"
            if is_ready(component)
            else "running"
            for component in self._components()
        }

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that the file `env` in the stack's directory exports."""
        clients = [str(path) for path in binaries.client_directory(self._binaries)]
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "PATH": os.pathsep.join([*clients, str(ENVIRONMENT / "bin"), os.environ.get("PATH", "")]),
            "AIRFLOW_URL": self._airflow.url,
            "AIRFLOW_USER": USER,
            "AIRFLOW_PASSWORD": self._airflow.password,
            "KAFKA_BOOTSTRAP_SERVERS": self._kafka.bootstrap_servers,
            "MLJOB_EVENTS_TOPIC": self._topic,
        }

    @property
    def kubeconfig(self) -> Path:
        """The path of the cluster administrator's kubeconfig."""
        return self._cluster or self.directory / "admin.kubeconfig"

    def operator_env(self) -> dict[str, str]:
        """Return the environment variables of the stack's operator."""
        return self._operator.environment()

    def airflow_env(self) -> dict[str, str]:
        """Return the environment variables for an `airflow` command that uses this stack's Airflow.
        The result is empty for a simulated Airflow.
        """
        return dict(self._airflow.environment())

    def _reset(self) -> None:
        for name in ("_binaries", "_airflow", "_operator", "_kafka", "_postgres", "_kubectl"):
            self.__dict__.pop(name, None)

    def _stop_airflow(self) -> None:
        """Stop the Airflow that the last `up` started, because a real and a simulated Airflow use
        the same port.
        """
        for wave in _SHUTDOWN:
            for name in wave:
                if name.startswith("airflow-"):
                    self._process(name).stop(_PATIENCE.get(name, 15.0))

    def _assert_can_run(self, airflow: str) -> None:
        if airflow == SIMULATED:
            return
        environment = AIRFLOW_ENVIRONMENTS[airflow]
        if not environment.exists():
            raise StackError(f"{environment.name} does not exist: make it with python3 devstack/bootstrap.py {airflow}")
        if airflow == OLDEST and self._choices.airflow == NEWEST and Airflow.has_database(self.directory):
            raise StackError(
                f"The newest Airflow has migrated the database in {self.directory.name}, and an older Airflow can't read it: delete the database with "
                f"`make clean`, or start another stack with DEV_DIR={self.directory.name}-{airflow}"
            )

    @property
    def _choices_file(self) -> Path:
        return self.directory / "choices.json"

    @property
    def _cluster(self) -> Path | None:
        given = self._given_cluster or os.environ.get("CLUSTER_KUBECONFIG")
        return Path(given).expanduser().resolve() if given else None

    @property
    def _topic(self) -> str:
        return self._choices.environment.get("MLJOB_EVENTS_TOPIC", DEFAULT_TOPIC)

    @cached_property
    def _binaries(self) -> binaries.Located:
        return binaries.Located(*(binaries.CLIENTS if self._cluster else binaries.BINARIES))

    @cached_property
    def _kubectl(self) -> Kubectl:
        return Kubectl(self._binaries, self.kubeconfig)

    @cached_property
    def _kafka(self) -> Kafka:
        return Kafka(self.directory, self.ports, self._topic)

    @cached_property
    def _postgres(self) -> Postgres:
        return Postgres(self.directory, self.ports, self._secrets, os.environ.get("MLJOB_POSTGRES_URL"))

    @cached_property
    def _airflow(self) -> Airflow | SimulatedAirflow:
        if self._choices.airflow == SIMULATED:
            options = self._choices.environment.get(OPTIONS, "")
            return SimulatedAirflow(
                self.ports,
                self._secrets,
                kafka_servers=self._kafka.bootstrap_servers,
                topic=self._topic,
                options=options,
            )
        overrides = {
            name: value
            for name, value in self._choices.environment.items()
            if name.startswith(("AIRFLOW", "PYTHONPATH", COVERAGE)) or name == DATA_DIR
        }
        return Airflow(
            AIRFLOW_ENVIRONMENTS[self._choices.airflow],
            self.directory,
            self.ports,
            self._secrets,
            postgres=self._postgres,
            kafka_servers=self._kafka.bootstrap_servers,
            topic=self._topic,
            dags_folders=[Path(folder) for folder in self._choices.dags_folders],
            dags_repositories=[Path(repository) for repository in self._choices.dags_repositories],
            overrides=overrides,
        )

    @cached_property
    def _operator(self) -> Operator:
        overrides = {name: value for name, value in self._choices.environment.items() if name.startswith("MLJOB_")}
        return Operator(
            self.directory,
            self.ports,
            self._kubectl,
            self._airflow,
            self._kafka.bootstrap_servers,
            self._topic,
            overrides,
        )

    @property
    def mljob_api(self) -> MLJobApi:
        """The :class:`.MLJobApi` of this stack. If the stack uses an existing cluster, :meth:`up`
        does not start the API server mljob-api.
        """
        return MLJobApi(self.directory, self.ports, self._kubectl, self._operator.environment, self._airflow.api)

    def _parts(self) -> list[Component | Step]:
        parts: list[Component | Step] = [
            Step("binaries", self._binaries.locate),
            Step("go-caches", self._binaries.tidy, needs=("binaries",)),
        ]
        parts += [*self._kafka.parts(), *self._airflow.parts()]
        if self._choices.airflow != SIMULATED:
            parts += self._postgres.parts()
        if self._cluster:
            # The API server of another cluster can't reach a process on this machine's loopback.
            parts.append(self._operator.install_step(needs=("binaries",), api=False))
        else:
            control_plane = ControlPlane(self.directory, self.ports, self._secrets, self._binaries)
            parts += control_plane.parts()
            parts.append(self._operator.install_step(needs=("kube-controller-manager",), api=True))
            parts += self.mljob_api.parts()
        if self._choices.operator and Operator.exists():
            parts.append(self._operator.component())
        elif self._choices.operator:
            say(f"  {'operator':<24} skipped: this work tree has no operator")
        return parts

    def _components(self) -> list[Component]:
        components = [part for part in self._parts() if isinstance(part, Component)]
        if all(component.name != "operator" for component in components):
            components.append(self._operator.component())
        return components

    def _component(self, name: str) -> Component:
        known = {component.name: component for component in self._components()}
        if name not in known:
            raise StackError(f"Unknown component {name}. The components are {', '.join(known)}")
        return known[name]

    def _process(self, name: str) -> ManagedProcess:
        return ManagedProcess(self.directory, name)

    def _write_env(self) -> None:
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.env.items() if name != "PATH"]
        prepended = os.pathsep.join(
            [*(str(path) for path in binaries.client_directory(self._binaries)), str(ENVIRONMENT / "bin")]
        )
        lines.append(f'export PATH={shlex.quote(prepended)}{os.pathsep}"$PATH"\n')
        file = self.directory / "env"
        file.touch(mode=0o600)
        file.write_text("".join(lines))


_SHUTDOWN = (
    ("operator", "mljob-api"),
    (
        "airflow-scheduler",
        "airflow-triggerer",
        "airflow-dag-processor",
        "airflow-api-server",
        "airflow-simulated",
        "kube-controller-manager",
    ),
    ("kafka", "postgres", "kube-apiserver"),
    ("etcd",),
)
"""The components in the order in which `down` stops them. Clients stop before their servers, and
the components of a group stop at the same time.
"""

_PATIENCE = {"kube-controller-manager": 5.0, "kafka": 10.0}
"""Seconds that a component may take to stop before `down` kills it, by the name of the component.
All other components have 15 seconds.
"""
