from __future__ import annotations

import os
import subprocess
from pathlib import Path

BRANCH = "main"
"""The branch that Airflow reads, as :mod:`devstack.airflow` configures it."""

IDENTITY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in {"NAME": "Tests", "EMAIL": "tests@example.com"}.items()
}
WITHOUT_CONFIGURATION = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
"""Environment variables that make git ignore the configuration of the person who runs the tests,
for example the signing of commits.
"""


class DagRepository:
    """A git repository with DAGs, which the tests' Airflow reads through a ``GitDagBundle``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def create(self) -> None:
        """Create the repository, unless the repository exists. The new repository has one empty
        commit, because Airflow can't clone a branch without a commit.
        """
        if (self.directory / ".git").exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        self._git("init", "--quiet", f"--initial-branch={BRANCH}")
        self._git("commit", "--quiet", "--allow-empty", "--message=Begin")

    def commit(self, file: str, content: str) -> str:
        (self.directory / file).write_text(content)
        self._git("add", "--", file)
        self._git("commit", "--quiet", f"--message=Change {file}")
        return self._git("rev-parse", "HEAD").strip()

    def remove(self, file: str) -> None:
        self._git("rm", "--quiet", "--", file)
        self._git("commit", "--quiet", f"--message=Remove {file}")

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ("git", *arguments),
            cwd=self.directory,
            # No other variable: GIT_DIR, which git sets for its hooks, would lead to another
            # repository.
            env={"PATH": os.environ["PATH"], **IDENTITY, **WITHOUT_CONFIGURATION},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)} in {self.directory}: {done.stderr}"
        return done.stdout
