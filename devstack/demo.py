"""The demo: one training job from `kubectl apply` to its score, shown while it happens.

It does nothing that a person with kubectl couldn't do, and shows the commands that it stands for. Everything it shows
of the job comes from `kubectl`, so what moves here moves in anybody's `kubectl get mljobs --watch`.
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
"""Seconds that the job may take. It takes half a minute on an idle machine, and minutes on one that builds something."""

_DELETION_BOUND = 120


def run(stack: Stack, manifest: Path = MANIFEST, bound: float = BOUND) -> None:
    """Apply the example, watch it to its end, and show what came of it.

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
    """One manifest with one MLJob, on one stack: applied, watched and explained."""

    def __init__(self, stack: Stack, manifest: Path) -> None:
        self._stack = stack
        self._manifest = manifest
        metadata = yaml.safe_load(manifest.read_text())["metadata"]
        self.name = str(metadata["name"])
        self._scope = (f"--namespace={metadata.get('namespace', 'default')}",)
        self.kubectl = Kubectl(binaries.locate(*binaries.CLIENTS), stack.kubeconfig)

    def clear(self) -> None:
        """Delete an earlier run of the demo: an MLJob runs once. One that still runs is left, and watched instead."""
        before = self._find()
        if before is None:
            return
        if live_view.moment(before).is_over or before["metadata"].get("deletionTimestamp"):
            show_command(f"kubectl delete mljob {self.name}   # an MLJob runs once")
            self.kubectl(
                "delete", "mljob", self.name, *self._scope, f"--timeout={_DELETION_BOUND}s", "--ignore-not-found"
            )

    def apply(self) -> None:
        """`kubectl apply`."""
        show_command(f"kubectl apply -f {os.path.relpath(self._manifest)}")
        show(self.kubectl("apply", f"--filename={self._manifest}", *self._scope).strip())

    def watch(
        self, began: float, deadline: float, until: Callable[[live_view.Moment], bool] = lambda _: False
    ) -> dict[str, Any]:
        """Print the job's changes until it is over, or `until` says enough, or time is up; the job as it then is."""
        show_command(f"kubectl get mljob {self.name} --watch   # the same, as columns")
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
        """The job as `kubectl get --watch` tells it, anew when the API server ends a watch, until the deadline."""
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
        """Read in a thread of its own, since a job that hangs says nothing, and then the deadline has to be seen."""
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
        """The end of the story: columns, outputs, events, the run in Airflow, and what to try next."""
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
        """Its events; the operator tells of the end a moment after it has written it, and this waits for that."""
        deadline = time.monotonic() + 10
        while True:
            told = live_view.events(self.kubectl("describe", "mljob", self.name, *self._scope))
            if any(until in line.split() for line in told) or time.monotonic() > deadline:
                return told
            time.sleep(0.5)

    def explain(self, job: dict[str, Any], why: str) -> str:
        """What a person needs to find out why it went wrong."""
        status = job.get("status") or {}
        log = self._stack.log("operator")
        tail = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else ["(no log)"]
        described = self.kubectl("describe", "mljob", self.name, *self._scope) if self._find() else ""
        return "\n".join(
            [
                f"MLJob {self.name} {why}: {status.get('reason', 'no reason')}: {status.get('message', 'the operator has said nothing yet')}",
                *(f"    {text}" for text in live_view.events(described)),
                f"  run: {status.get('dagRunUrl', 'none yet')}",
                "  the end of the operator's log:",
                *(f"    {text}" for text in tail),
                f"  whole log: {log}",
            ]
        )

    def get(self) -> dict[str, Any]:
        """The MLJob.

        Raises:
            StackError: It has been deleted meanwhile.
        """
        found = self._find()
        if found is None:
            raise StackError(f"MLJob {self.name} was deleted while the demo watched it")
        return found

    def _find(self) -> dict[str, Any] | None:
        found = self.kubectl("get", "mljob", self.name, *self._scope, "--ignore-not-found", "--output=json")
        return dict(json.loads(found)) if found.strip() else None


def show_command(text: str) -> None:
    """Print a command as a person would have typed it."""
    show(f"\n$ {text}")


def _next_steps(env: str) -> str:
    return f"""
The stack goes on running. What to try next:

  {f". {env}":<50} # kubectl, helm and the variables of this stack
  make demo-platform                                 # dataset, features, model, predictions, a paused DAG
  kubectl apply -f examples/                         # train, and make a week of statistics
  kubectl get mlj -w                                 # ... and watch them
  kubectl explain mljob.spec                         # what else an MLJob may say
  kubectl delete mljob digits-train                  # in mid-run: the run in Airflow is cancelled
  make logs C=operator FOLLOW=1                      # what the operator does
  make down                                          # end all of it"""
