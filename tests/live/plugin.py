"""Runs ``kubectl mljob``. The real kubectl finds the plugin on ``PATH`` and calls the plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from devstack import binaries

LIMIT = 300
"""Seconds until a command must have ended."""


class Ended(NamedTuple):
    """The outcome of a command that has ended."""

    code: int
    out: str
    err: str


class Plugin:
    """Runs ``kubectl mljob`` with one kubeconfig.

    Args:
        kubeconfig: The kubeconfig file, whose current context names the cluster, the user and the
            namespace.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._environment = plugin_environment(kubeconfig)

    def __call__(self, *arguments: str, stdin: str | None = None) -> Ended:
        """Run a command to its end. Return its exit code, its output and its errors.

        Raises:
            subprocess.TimeoutExpired: The command took longer than ``LIMIT`` (300 seconds).
        """
        done = subprocess.run(
            ["kubectl", "mljob", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
            env=self._environment,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command, and return its process without waiting for its end."""
        return subprocess.Popen(
            ["kubectl", "mljob", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self._environment,
        )


def plugin_environment(kubeconfig: Path) -> dict[str, str]:
    """Return the environment variables for a process that calls kubectl: ``PATH`` begins with the
    folders of kubectl and of the plugin, ``KUBECONFIG`` is the path ``kubeconfig``, and
    ``NO_COLOR`` is set. The other variables are those of the current process.
    """
    folders = [str(binaries.locate("kubectl")["kubectl"].parent), str(Path(sys.executable).parent)]
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    return {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig), "NO_COLOR": "1"}


def write_kubeconfig(of_admin: Path, target: Path, namespace: str, token: str | None = None) -> Path:
    """Copy the administrator's kubeconfig ``of_admin`` to the file ``target``, and make
    ``namespace`` the default namespace of the copy. If ``token`` is given, the token replaces the
    administrator's credentials in the copy. Return ``target``.
    """
    config = json.loads(of_admin.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    if token is not None:
        config["users"][0]["user"] = {"token": token}
    target.touch(mode=0o600)
    target.write_text(json.dumps(config))
    return target
