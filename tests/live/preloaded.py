"""Forks operators from a process that has already imported the operator's modules.

The imports take more than two seconds of CPU time, and the live tests start more than a hundred
operators. Run as a program, this module is the process to fork from.
"""

from __future__ import annotations

import ctypes
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devstack.processes import Command

PR_SET_PDEATHSIG = 1
"""The option of prctl(2) by which the kernel signals a process when its parent ends."""


class PreloadedOperators:
    """A process that forks operators while the ``with`` block runs. Pass :meth:`launch` to
    :meth:`devstack.processes.ManagedProcess.start`.

    Args:
        environment: Further environment variables of the process, such as KUBECONFIG.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = os.environ | dict(environment)
        self._lock = threading.Lock()

    def __enter__(self) -> PreloadedOperators:
        self._process = subprocess.Popen(
            (sys.executable, "-P", __file__),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def launch(self, command: Command, environment: Mapping[str, str], log: Path) -> int:
        """Run ``command``, a call of the Python interpreter, in a forked process instead of in a
        new interpreter. Return the process id.
        """
        request = {"arguments": command.arguments[1:], "environment": dict(environment), "log": str(log)}
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline())


def serve() -> None:
    """Fork an operator for each line of standard input, and print the id of the new process."""
    from kubernetes.aio import client

    import mljob_operator.main  # noqa: F401

    # The package imports these modules at their first use, with the models of all resources.
    _ = client.CoordinationV1Api, client.CoreV1Api, client.CustomObjectsApi

    # No process waits for the operators, so the kernel must not keep them as zombies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            become(request)
        sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


def become(request: Mapping[str, Any]) -> None:
    """Run ``python <arguments>`` in the forked process, and then end the process."""
    os.setsid()
    _end_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(request["environment"])
    option, *rest = request["arguments"]
    try:
        if option == "-m":
            sys.argv = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [option, *rest]
            runpy.run_path(option, run_name="__main__")
    except SystemExit as ending:
        os._exit(ending.code if isinstance(ending.code, int) else ending.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


def _end_with_parent() -> None:
    """Let the kernel send SIGTERM to this process when its parent ends. Otherwise the operator
    would continue after Ctrl-C.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    serve()
