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
    code: int
    out: str
    err: str


class Plugin:
    """Runs ``kubectl mljob`` with one kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self._environment = plugin_environment(kubeconfig)

    def __call__(self, *arguments: str, stdin: str | None = None) -> Ended:
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
        return subprocess.Popen(
            ["kubectl", "mljob", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env=self._environment,
        )


def plugin_environment(kubeconfig: Path) -> dict[str, str]:
    """Return this process's environment variables, changed so that kubectl finds the plugin and the
    kubeconfig.
    """
    folders = [str(binaries.locate("kubectl")["kubectl"].parent), str(Path(sys.executable).parent)]
    path = os.pathsep.join([*folders, os.environ["PATH"]])
    return {**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig), "NO_COLOR": "1"}


def write_kubeconfig(of_admin: Path, target: Path, namespace: str, token: str | None = None) -> Path:
    """Copy the administrator's kubeconfig from ``of_admin`` to ``target``, and return ``target``.

    In the copy, ``namespace`` is the default namespace. If ``token`` is given, the token replaces
    the administrator's credentials.
    """
    config = json.loads(of_admin.read_text())
    config["contexts"][0]["context"]["namespace"] = namespace
    if token is not None:
        config["users"][0]["user"] = {"token": token}
    target.touch(mode=0o600)
    target.write_text(json.dumps(config))
    return target
