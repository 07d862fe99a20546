"""The choices of the person who starts a stack: the arguments of `up`, and environment variables
for Airflow and the operator.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from devstack.bootstrap import NEWEST
from devstack.simulated_airflow import OPTIONS

_OWN_VARIABLES = frozenset({"MLJOB_CACHE_DIR", "MLJOB_POSTGRES_URL", "MLJOB_DEVSTACK_COMPONENT"})
"""Environment variables for the stack itself. Neither Airflow nor the operator gets these
variables.
"""
COVERAGE = "COVERAGE_"
"""The prefix of environment variables that only Airflow gets. With these variables, Airflow's
processes record which lines of code they run (`make coverage`).
"""


@dataclass(frozen=True)
class Choices:
    """The choices of the person who started the stack with the last `up`. The choices are stored in
    a file, so that another command, such as `restart`, starts a component with the same choices.

    Attributes:
        operator: Whether the stack runs an operator.
        dags_folders: Absolute paths of folders with DAGs, in addition to the DAGs of this
            repository.
        dags_repositories: Absolute paths of git repositories with further DAGs.
        environment: Environment variables for Airflow and the operator, as
            :func:`chosen_environment` returns them.
        airflow: Which Airflow the stack runs: a key of `devstack.bootstrap.AIRFLOW_ENVIRONMENTS`,
            or `devstack.bootstrap.SIMULATED`.
    """

    operator: bool = True
    dags_folders: list[str] = field(default_factory=list)
    dags_repositories: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    airflow: str = NEWEST

    @classmethod
    def read(cls, file: Path) -> Choices:
        """Read the choices from a file. Return the defaults if the file does not exist. A field
        that the file does not have gets its default.
        """
        return cls(**json.loads(file.read_text())) if file.exists() else cls()

    def write(self, file: Path) -> None:
        """Write the choices to a file. Only the owner can read the file, because the environment
        variables may contain passwords. An existing file gets these permissions too.
        """
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text(json.dumps(asdict(self), indent=2))


def chosen_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that a person has set for Airflow and the operator: the
    variables in the caller's environment whose names begin with a prefix such as `AIRFLOW__` or
    `MLJOB_`, and the variables in `extra`. A variable in `extra` replaces the variable of the same
    name in the caller's environment. Variables for the stack itself, such as `MLJOB_CACHE_DIR`, are
    left out.
    """
    wanted = ("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_", "MLJOB_", OPTIONS, COVERAGE)
    caller = {name: value for name, value in os.environ.items() if name.startswith(wanted)}
    return {name: value for name, value in (caller | dict(extra)).items() if name not in _OWN_VARIABLES}
