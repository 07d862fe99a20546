"""Airflow 3 for the stack: four processes, which run in a Python environment of their own. Airflow
uses the LocalExecutor and a PostgreSQL database.

Airflow is configured by environment variables. The stack sets these variables. A variable that a
person has set (:func:`devstack.choices.chosen_environment`) overrides the stack's variable of the
same name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from devstack import http
from devstack.bootstrap import ROOT
from devstack.component import Component, Step
from devstack.ports import HOST, Ports
from devstack.postgres import Postgres
from devstack.processes import Command, ManagedProcess, run
from devstack.progress import say
from devstack.secrets_file import Secrets

USER = "admin"
COMPONENTS = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")

_MIGRATED = "migrated"
"""The name of the file with the URL of the database that was migrated last, and the stamp of the
Airflow environment that migrated the database.
"""

_OWN_DAGS = {
    "mljob": ROOT / "airflow-provider" / "src" / "mljob_airflow" / "dags",
    "examples": ROOT / "airflow-provider" / "example_dags",
}
DATA_DIR = "MLJOB_DATA_DIR"
"""The environment variable with the folder for the datasets and models of the example DAGs."""


class Airflow:
    """Airflow in one stack: its processes, and the environment variables that configure them.

    Args:
        installed: The Python environment that Airflow is installed in.
        dags_folders: Folders of DAG files. Airflow keeps no versions of these files.
        dags_repositories: git repositories whose branch `main` Airflow reads. A run keeps the
            commit that it began with.
    """

    def __init__(
        self,
        installed: Path,
        directory: Path,
        ports: Ports,
        secrets: Secrets,
        *,
        postgres: Postgres,
        kafka_servers: str,
        topic: str,
        dags_folders: Sequence[Path],
        dags_repositories: Sequence[Path],
        overrides: Mapping[str, str],
    ) -> None:
        self._installed = installed
        self._directory = directory
        self._home = directory / "airflow"
        self._ports = ports
        self._secrets = secrets
        self._postgres = postgres
        self._kafka_servers = kafka_servers
        self._topic = topic
        self._dags_folders = dags_folders
        self._dags_repositories = dags_repositories
        self._overrides = overrides

    api = "airflow-api-server"
    """The name of the component that serves Airflow's REST API."""

    @staticmethod
    def has_database(directory: Path) -> bool:
        """Return whether the stack in the folder `directory` has a migrated Airflow database. A
        stack that has only run the simulated Airflow has no database.
        """
        return (directory / "airflow" / _MIGRATED).exists()

    @property
    def url(self) -> str:
        """The URL of Airflow's UI and API."""
        return f"http://{HOST}:{self._ports['airflow']}"

    @property
    def password(self) -> str:
        """The password of `admin`, the only user."""
        return self._secrets["airflow-password"]

    def parts(self) -> list[Component | Step]:
        """Return the parts of Airflow: the step that migrates the database, and the components of
        the four processes. The four processes start at the same time, after the migration and after
        the creation of the Kafka topics.
        """
        return [
            Step("airflow-migration", self._migrate, needs=("database",)),
            self._component(
                self.api,
                "metadatabase",
                "api-server",
                "--host",
                HOST,
                "--port",
                str(self._ports["airflow"]),
            ),
            self._component("airflow-scheduler", "scheduler", "scheduler", "--skip-serve-logs"),
            self._component("airflow-dag-processor", "dag_processor", "dag-processor"),
            self._component("airflow-triggerer", "triggerer", "triggerer", "--skip-serve-logs"),
        ]

    def _component(self, name: str, part: str, *arguments: str) -> Component:
        """Return the component of the stack that runs one process of Airflow. `part` is the key of
        the process in the response of `/api/v2/monitor/health`. `arguments` are the arguments of
        the command `airflow`.
        """
        return Component(
            name,
            command=lambda: self._restarting_command(*arguments),
            ready=lambda: self._healthy(name, part),
            needs=("airflow-migration", "topics"),
            ports=("airflow",) if name == self.api else (),
            bound=300,
        )

    def environment(self) -> dict[str, str]:
        """Return the environment variables of Airflow's processes. With these variables, an
        `airflow` command on the terminal uses the same Airflow.
        """
        connection = json.dumps({"conn_type": "kafka", "extra": {"bootstrap.servers": self._kafka_servers}})
        itself = json.dumps({"conn_type": "http", "host": self.url, "login": USER, "password": self.password})
        return {
            "PATH": f"{self._installed / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "16",
            "AIRFLOW__CORE__FERNET_KEY": self._secrets["airflow-fernet"],
            # New DAGs are not paused, because an MLJob's run would wait until somebody unpauses the
            # DAG.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "2",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._home / "passwords.json"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._postgres.url("psycopg2"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": self._postgres.url("asyncpg"),
            # Airflow's API server checks tokens in its event loop, and takes a connection of the
            # pool for that. The pool must have more connections than the API server's 40 threads.
            # Otherwise the event loop waits for connections that only the event loop can return,
            # and requests fail with 500 after 30 s.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_MAX_OVERFLOW": "45",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": self._secrets["airflow-session"],
            # HMAC with SHA-512 needs a key of at least 64 bytes (RFC 7518, section 3.2).
            "AIRFLOW__API_AUTH__JWT_SECRET": self._secrets["airflow-jwt"] + self._secrets["airflow-jwt-second-half"],
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.3",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(self._bundles()),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self._home / "bundles"),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",
            # Seconds until an unchanged file is parsed again. New and changed files are parsed at
            # the next refresh. With a small value, parsing occupies a whole core.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self._home / "logs"),
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            # These ports are free ports of this stack, for a caller who turns the servers of task
            # logs on. By default the servers don't run, because Airflow's API server reads the log
            # files itself.
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._ports["airflow-worker-logs"]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._ports["airflow-trigger-logs"]),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_CONN_KAFKA_DEFAULT": connection,
            "AIRFLOW_CONN_MLJOB_AIRFLOW": itself,
            "AIRFLOW__MLJOB__TOPIC": self._topic,
            "AIRFLOW__MLJOB__KAFKA_CONFIG_ID": "kafka_default",
            "AIRFLOW__MLJOB__SOURCE": "devstack",
            "AIRFLOW__MLJOB__REPORT_DIR": str(self._directory / "reports"),
            DATA_DIR: str(self._directory / "data"),
        } | dict(self._overrides)

    def _bundles(self) -> list[dict[str, object]]:
        """Return the DAG bundles of Airflow: the value of `[dag_processor] dag_bundle_config_list`.
        The bundles of this project are called `mljob` and `examples`. Any other bundle has the name
        of its folder or repository. If an earlier bundle has this name, underscores are appended to
        the name of the later bundle.
        """
        bundles = {name: _folder_bundle(path) for name, path in _OWN_DAGS.items() if path.is_dir()}
        added = [(path, _folder_bundle(path)) for path in self._dags_folders]
        added += [(path, _git_bundle(path)) for path in self._dags_repositories]
        for path, bundle in added:
            name = path.name
            while name in bundles:
                name += "_"
            bundles[name] = bundle
        return [{"name": name, **bundle} for name, bundle in bundles.items()]

    def _command(self, *arguments: str) -> Command:
        # The scheduler starts tasks, and the DAG processor parses files. Both run with a low
        # priority. With a normal priority they would slow down the API servers so much that clients
        # time out.
        polite = ("nice", "-n", "10") if arguments[0] in ("scheduler", "dag-processor") else ()
        return Command(
            (*polite, str(self._installed / "bin" / "airflow"), *arguments),
            self.environment(),
            directory=self._home,
        )

    def _restarting_command(self, *arguments: str) -> Command:
        command = self._command(*arguments)
        restarting = (sys.executable, "-I", str(Path(__file__).with_name("restarting.py")))
        return replace(command, arguments=(*restarting, *command.arguments))

    def _migrate(self) -> None:
        for name, path in _OWN_DAGS.items():
            if not path.is_dir():
                say(f"  {'airflow':<24} no DAG bundle {name}: {path.relative_to(ROOT)} does not exist")
        self._home.mkdir(parents=True, exist_ok=True)
        passwords = self._home / "passwords.json"
        passwords.touch(mode=0o600)
        passwords.write_text(json.dumps({USER: self.password}))
        migrated = self._home / _MIGRATED
        stamp = f"{self._postgres.url('psycopg2')} {(self._installed / 'mljob-stamp.json').read_text()}"
        if migrated.exists() and migrated.read_text() == stamp:
            return
        command = self._command("db", "migrate")
        run(command.arguments, env=dict(command.environment), cwd=self._home)
        migrated.touch(mode=0o600)
        migrated.write_text(stamp)

    def _healthy(self, name: str, part: str) -> bool:
        """Return whether a process of Airflow is healthy.

        Airflow must report that the process is healthy. But Airflow reports a killed process as
        healthy for a while. So if Airflow reports the time of the process's last heartbeat, this
        time must be later than the last start of the process.
        """
        health = http.get_json(f"{self.url}/api/v2/monitor/health")[part]
        started = ManagedProcess(self._directory, name).started_at
        beat = health.get(f"latest_{part}_heartbeat")
        alive = beat is None or started is None or datetime.fromisoformat(beat) > started
        return bool(health["status"] == "healthy") and alive


def _folder_bundle(folder: Path) -> dict[str, object]:
    return {
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(folder)},
    }


def _git_bundle(repository: Path) -> dict[str, object]:
    return {
        "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
        "kwargs": {"repo_url": str(repository), "tracking_ref": "main"},
    }
