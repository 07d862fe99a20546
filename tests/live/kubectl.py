from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.live.kubernetes_api import KubernetesApi


class KubectlError(Exception):
    """kubectl failed. The message contains kubectl's output."""


class Kubectl:
    """Runs kubectl with one kubeconfig, in one namespace.

    Args:
        directory: The folder in which watches write their output.

    Attributes:
        api: A client of the same Kubernetes API, for frequent requests.
    """

    def __init__(self, program: Path, kubeconfig: Path, namespace: str, directory: Path) -> None:
        self.namespace = namespace
        self._command = [str(program), f"--kubeconfig={kubeconfig}", f"--namespace={namespace}"]
        self._directory = directory
        self._program, self._kubeconfig = program, kubeconfig
        self.api = KubernetesApi.of(kubeconfig)

    def within(self, namespace: str) -> Kubectl:
        return Kubectl(self._program, self._kubeconfig, namespace, self._directory)

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run kubectl, and return its standard output.

        Raises:
            KubectlError: The command failed.
            subprocess.TimeoutExpired: The command took longer than ``timeout`` seconds.
        """
        done = subprocess.run(
            [*self._command, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, *objects: Mapping[str, Any]) -> str:
        many = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self("apply", "--filename=-", stdin=json.dumps(many))

    def get(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", *arguments, "--output=json"))
        return found

    def command(self, *arguments: str) -> list[str]:
        return [*self._command, *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    @contextmanager
    def watch(self, *arguments: str) -> Iterator[Watch]:
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / f"watch-{os.getpid()}-{self.namespace}-{id(object())}.json"
        command = [*self._command, "get", *arguments, "--watch", "--output-watch-events", "--output=json"]
        with file.open("wb") as out:
            process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            try:
                yield Watch(file)
            finally:
                process.terminate()
                process.wait(timeout=10)


class Watch:
    """Reads the output of ``kubectl get --watch``."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._decoder = json.JSONDecoder()
        self._read = 0
        self._rest = ""
        self._found: list[tuple[str, dict[str, Any]]] = []

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the type, such as ADDED, and the object of each event so far. The oldest event
        comes first.
        """
        with self._file.open("rb") as file:
            file.seek(self._read)
            # The bytes of an incomplete character at the end are read again next time.
            text = file.read().decode(errors="ignore")
        self._read += len(text.encode())
        rest = (self._rest + text).lstrip()
        while rest:
            try:
                event, end = self._decoder.raw_decode(rest)
            except ValueError:
                break  # the rest of the event is still being written
            self._found.append((event["type"], event["object"]))
            rest = rest[end:].lstrip()
        self._rest = rest
        return self._found

    def statuses(self, name: str) -> list[dict[str, Any]]:
        return [found.get("status", {}) for _, found in self.events() if found["metadata"]["name"] == name]
