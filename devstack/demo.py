"""The demo: a training job from `kubectl apply` to its outputs.

The demo calls only `kubectl`, and prints the commands. The lines that it prints about the job have
the same data as `kubectl get mljobs --watch`.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from devstack import binaries, live_view
from devstack.bootstrap import ROOT
from devstack.control_plane import Kubectl
from devstack.errors import StackError
from devstack.progress import elapsed, say
from devstack.stack import Stack
from devstack.terminal import Lines, show

MANIFEST = ROOT / "examples" / "train.yaml"
BOUND = 600.0
"""Seconds that the job may take. The job takes about 30 seconds on an idle machine, and minutes on
a busy machine.
"""

_DELETION_BOUND = 120


def run(stack: Stack, manifest: Path = MANIFEST, bound: float = BOUND) -> None:
    """Apply the example, watch the job until it ends, and print its results.

    Raises:
        StackError: The job failed, or took longer than `bound` seconds.
    """
    demo = ShownJob(stack, manifest)
    demo.clear()
    began = time.monotonic()
    demo.apply()
    job = demo.watch(began, began + bound)
    phase = live_view.moment(job).phase
    if phase != "Succeeded":
        raise StackError(demo.explain(job, _why(phase, bound)))
    say(f"\n  {demo.name} succeeded ({elapsed(time.monotonic() - began)})")
    demo.conclude(job)


def _why(phase: str, bound: float) -> str:
    return f"ended {phase}" if phase in live_view.TERMINAL else f"was still {phase} after {elapsed(bound)}"


class ShownJob:
    """The MLJob of one manifest on one stack."""

    def __init__(self, stack: Stack, manifest: Path) -> None:
        self._stack = stack
        self._manifest = manifest
        metadata = yaml.safe_load(manifest.read_text())["metadata"]
        self.name = str(metadata["name"])
        self._scope = (f"--namespace={metadata.get('namespace', 'default')}",)
        self.kubectl = Kubectl(binaries.locate(*binaries.CLIENTS), stack.kubeconfig)

    def clear(self) -> None:
        """Delete the finished MLJob of an earlier demo, because an MLJob runs only once. An MLJob
        in progress is not deleted, and the demo watches it.
        """
        before = self._find()
        if before is None:
            return
        if live_view.moment(before).is_over or before["metadata"].get("deletionTimestamp"):
            show_command(f"kubectl delete mljob {self.name}   # an MLJob runs once")
            self.kubectl(
                "delete", "mljob", self.name, *self._scope, f"--timeout={_DELETION_BOUND}s", "--ignore-not-found"
            )

    def apply(self) -> None:
        """Apply the manifest with `kubectl apply`."""
        show_command(f"kubectl apply -f {os.path.relpath(self._manifest)}")
        show(self.kubectl("apply", f"--filename={self._manifest}", *self._scope).strip())

    def watch(
        self, began: float, deadline: float, until: Callable[[live_view.Moment], bool] = lambda _: False
    ) -> dict[str, Any]:
        """Print the job's changes until the job ends, `until` returns True, or the deadline passes.
        Return the latest version of the job.

        Args:
            began: The time from which the printed seconds count, on the clock of `time.monotonic`.
            deadline: The latest time at which the function returns, on the clock of
                `time.monotonic`.
            until: Returns whether to stop watching. Called after each change.
        """
        show_command(f"kubectl get mljob {self.name} --watch   # shows the same in columns")
        show(live_view.heading())
        last, job = None, dict[str, Any]()
        with Lines() as lines:
            for job in self._changes(deadline):
                now = live_view.moment(job)
                if now != last:
                    in_place = last is not None and now.supersedes(last)
                    lines.show(live_view.line(time.monotonic() - began, now), in_place=in_place)
                    last = now
                if now.is_over or until(now):
                    break
        return job

    def _changes(self, deadline: float) -> Iterator[dict[str, Any]]:
        """Yield each version of the job from `kubectl get --watch`, until the deadline.

        A watch that the API server ends is started again.
        """
        while time.monotonic() < deadline:
            command = self.kubectl.command(
                "get", "mljob", self.name, *self._scope, "--watch", '--output=jsonpath={@}{"\\n"}'
            )
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
                try:
                    yield from self._told(process, deadline)
                finally:
                    process.kill()
            self.get()
            time.sleep(1)

    def _told(self, process: subprocess.Popen[str], deadline: float) -> Iterator[dict[str, Any]]:
        """Yield the objects that kubectl prints, until the deadline. Another thread reads kubectl's
        output, because a read would block past the deadline while the job does not change.
        """
        lines: queue.Queue[str | None] = queue.Queue()

        def read() -> None:
            for text in process.stdout or ():
                lines.put(text)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        while (left := deadline - time.monotonic()) > 0:
            try:
                text = lines.get(timeout=left)
            except queue.Empty:
                return
            if text is None:
                return
            if text.strip():
                yield json.loads(text)

    def conclude(self, job: dict[str, Any]) -> None:
        """Print the job's columns, outputs and Events, the URL of the run in Airflow, and commands
        to try next.
        """
        show_command(f"kubectl get mljob {self.name} -o wide")
        show(self.kubectl("get", "mljobs", self.name, *self._scope, "--output=wide").rstrip())
        show_command(f"kubectl get mljob {self.name} -o jsonpath='{{.status.outputs}}'")
        show("\n".join(live_view.outputs(job)) or "(none)")
        show_command(f"kubectl describe mljob {self.name}   # its events")
        show("\n".join(self._events(until="Succeeded")))
        env = self._stack.env
        show(f"\nThe run in Airflow:  {job['status'].get('dagRunUrl', env['AIRFLOW_URL'])}")
        show(f"                     user {env['AIRFLOW_USER']}, password {env['AIRFLOW_PASSWORD']}")
        show(_next_steps(os.path.relpath(self._stack.directory / "env")))

    def _events(self, until: str) -> list[str]:
        """Return the lines of `kubectl describe` about the job's Events. Wait up to 10 seconds for
        an Event with the reason `until`, because the operator makes the Event about the job's end
        after it has written the status.
        """
        deadline = time.monotonic() + 10
        while True:
            told = live_view.events(self.kubectl("describe", "mljob", self.name, *self._scope))
            if any(until in line.split() for line in told) or time.monotonic() > deadline:
                return told
            time.sleep(0.5)

    def explain(self, job: dict[str, Any], why: str) -> str:
        """Return the text of an error about this job: reason, message, Events, run, and the end of
        the operator's log.
        """
        status = job.get("status") or {}
        log = self._stack.log("operator")
        tail = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else ["(no log)"]
        described = self.kubectl("describe", "mljob", self.name, *self._scope) if self._find() else ""
        return "\n".join(
            [
                f"MLJob {self.name} {why}: {status.get('reason', 'no reason')}: {status.get('message', 'the status has no message')}",
                *(f"    {text}" for text in live_view.events(described)),
                f"  run: {status.get('dagRunUrl', 'none yet')}",
                "  the end of the operator's log:",
                *(f"    {text}" for text in tail),
                f"  whole log: {log}",
            ]
        )

    def get(self) -> dict[str, Any]:
        """Return the MLJob.

        Raises:
            StackError: The MLJob has been deleted.
        """
        found = self._find()
        if found is None:
            raise StackError(f"MLJob {self.name} was deleted while the demo watched it")
        return found

    def _find(self) -> dict[str, Any] | None:
        found = self.kubectl("get", "mljob", self.name, *self._scope, "--ignore-not-found", "--output=json")
        return dict(json.loads(found)) if found.strip() else None


def show_command(text: str) -> None:
    """Print a command as a person types the command."""
    show(f"\n$ {text}")


def _next_steps(env: str) -> str:
    return f"""
The stack is still running. What to try next:

  {f". {env}":<50} # kubectl, helm and the variables of this stack
  make demo-platform                                 # dataset, features, model, predictions, a paused DAG
  kubectl apply -f examples/                         # train a model, and compute a week of statistics
  kubectl get mlj -w                                 # ... and watch both
  kubectl explain mljob.spec                         # the fields of an MLJob
  kubectl delete mljob digits-train                  # while it runs: cancels the run in Airflow
  make logs C=operator FOLLOW=1                      # follow the operator's log
  make down                                          # stop the stack"""
