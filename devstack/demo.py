"""The demo: an MLJob that trains a model, from `kubectl apply` to the outputs.

The demo calls only `kubectl`, and prints the commands that a person would type. The kubectl plugin
`kubectl mljob` prints the progress of the MLJob. In this module, a job is an MLJob.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from devstack import binaries
from devstack.bootstrap import ENVIRONMENT, ROOT
from devstack.control_plane import Kubectl
from devstack.errors import StackError
from devstack.progress import elapsed, say
from devstack.stack import Stack
from devstack.terminal import show

MANIFEST = ROOT / "examples" / "train.yaml"
BOUND = 600.0
"""Seconds that the job may take. The job takes about 30 seconds on an idle machine, and minutes on
a busy machine.
"""

TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled"})
_DELETION_BOUND = 120


def run(stack: Stack, manifest: Path = MANIFEST, bound: float = BOUND) -> None:
    """Run the demo: apply the MLJob in the file `manifest`, watch the MLJob until it ends, and
    print its results.

    Raises:
        StackError: The MLJob did not succeed, or took longer than `bound` seconds.
    """
    demo = ShownJob(stack, manifest)
    demo.clear()
    began = time.monotonic()
    demo.apply()
    job = demo.watch(began + bound)
    assert_succeeded(demo, job, bound)
    say(f"\n  {demo.name} succeeded ({elapsed(time.monotonic() - began)})")
    demo.conclude(job)


def assert_succeeded(demo: ShownJob, job: dict[str, Any], bound: float) -> None:
    """Check that an MLJob has succeeded.

    Args:
        demo: The MLJob of a demo. :meth:`ShownJob.explain` makes the error message.
        job: The latest version of this MLJob, as a dictionary.
        bound: How many seconds the demo waits at most for the end of the MLJob. Used in the error
            message.

    Raises:
        StackError: The MLJob has not succeeded. The message explains why.
    """
    phase = phase_of(job)
    if phase != "Succeeded":
        why = f"ended {phase}" if phase in TERMINAL else f"was still {phase} after {elapsed(bound)}"
        raise StackError(demo.explain(job, why))


def phase_of(job: dict[str, Any]) -> str:
    """Return the phase of an MLJob, or Pending if the operator has not written a status yet."""
    return str((job.get("status") or {}).get("phase") or "Pending")


class ShownJob:
    """An MLJob that a demo creates from a manifest, and watches until the MLJob ends. The demo
    prints the `kubectl` commands that a person would type.
    """

    def __init__(self, stack: Stack, manifest: Path) -> None:
        self._stack = stack
        self._manifest = manifest
        metadata = yaml.safe_load(manifest.read_text())["metadata"]
        self.name = str(metadata["name"])
        self._scope = (f"--namespace={metadata.get('namespace', 'default')}",)
        self.kubectl = Kubectl(binaries.locate(*binaries.CLIENTS), stack.kubeconfig)

    def clear(self) -> None:
        """Delete the MLJob of an earlier demo if this MLJob has ended, because `kubectl apply` of
        an unchanged manifest would not run an ended MLJob again. If the MLJob is already being
        deleted, wait until the deletion is complete. If the MLJob is still in progress, do nothing:
        this demo then watches the MLJob of the earlier demo.

        Raises:
            StackError: The MLJob still exists after 120 seconds.
        """
        before = self._find()
        if before is None:
            return
        if phase_of(before) in TERMINAL or before["metadata"].get("deletionTimestamp"):
            show_command(f"kubectl delete mljob {self.name}   # an MLJob runs once")
            self.kubectl(
                "delete", "mljob", self.name, *self._scope, f"--timeout={_DELETION_BOUND}s", "--ignore-not-found"
            )

    def apply(self) -> None:
        """Apply the manifest with `kubectl apply`."""
        show_command(f"kubectl apply -f {os.path.relpath(self._manifest)}")
        show(self.kubectl("apply", f"--filename={self._manifest}", *self._scope).strip())

    def watch(self, deadline: float) -> dict[str, Any]:
        """Show the progress of the job on the terminal with `kubectl mljob watch`, until the job
        ends or the deadline passes. Return the latest version of the job.

        Args:
            deadline: The time at which to stop watching, on the clock of `time.monotonic`.
        """
        show_command(f"kubectl mljob watch {self.name}")
        sys.stdout.flush()
        left = max(deadline - time.monotonic(), 1)
        command = self.kubectl.command("mljob", "watch", self.name, *self._scope, f"--timeout={left:.0f}s")
        # kubectl reads options after the name of a plugin only, and passes them on.
        program, kubeconfig, *arguments = command
        path = f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}"
        subprocess.run([program, *arguments, kubeconfig], env={**os.environ, "PATH": path}, check=False)
        return self.get()

    def until_reason(self, reason: str, deadline: float) -> dict[str, Any]:
        """Wait with `kubectl wait` until the reason in the job's status is `reason`, or until the
        time `deadline` on the clock of `time.monotonic`. Return the latest version of the job.
        """
        condition = f"--for=jsonpath={{.status.reason}}={reason}"
        show_command(f"kubectl wait '{condition}' mljob/{self.name}")
        left = max(deadline - time.monotonic(), 1)
        command = self.kubectl.command("wait", condition, f"mljob/{self.name}", *self._scope, f"--timeout={left:.0f}s")
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.get()

    def conclude(self, job: dict[str, Any]) -> None:
        """Print the results of a job that has succeeded: the job's row in `kubectl get`, its
        Events, the URL of the run in Airflow, and commands to try next.
        """
        show_command(f"kubectl get mljob {self.name} -o wide")
        show(self.kubectl("get", "mljobs", self.name, *self._scope, "--output=wide").rstrip())
        show_command(f"kubectl describe mljob {self.name}   # its events")
        show("\n".join(self._events(until="Succeeded")))
        env = self._stack.env
        show(f"\nThe run in Airflow:  {job['status'].get('dagRunUrl', env['AIRFLOW_URL'])}")
        show(f"                     user {env['AIRFLOW_USER']}, password {env['AIRFLOW_PASSWORD']}")
        show(_next_steps(os.path.relpath(self._stack.directory / "env")))

    def _events(self, until: str) -> list[str]:
        """Return the lines about the job's Events in the output of `kubectl describe`.

        The operator writes the status of an ended job first, and creates the Event about the end
        afterwards. So this method waits up to 10 seconds for the Event whose reason is the
        argument `until`. After 10 seconds, the method returns the lines without this Event.
        """
        deadline = time.monotonic() + 10
        while True:
            told = events_in(self.kubectl("describe", "mljob", self.name, *self._scope))
            if any(until in line.split() for line in told) or time.monotonic() > deadline:
                return told
            time.sleep(0.5)

    def explain(self, job: dict[str, Any], why: str) -> str:
        """Return an error message about this job. The message consists of `why`, the reason and the
        message in the job's status, the job's Events, the URL of the job's run, and the end of the
        operator's log.

        Args:
            job: The latest version of the job.
            why: What is wrong with the job, for example "ended Failed".
        """
        status = job.get("status") or {}
        log = self._stack.log("operator")
        tail = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else ["(no log)"]
        described = self.kubectl("describe", "mljob", self.name, *self._scope) if self._find() else ""
        return "\n".join(
            [
                f"MLJob {self.name} {why}: {status.get('reason', 'no reason')}: {status.get('message', 'the status has no message')}",
                *(f"    {text}" for text in events_in(described)),
                f"  run: {status.get('dagRunUrl', 'none yet')}",
                "  the end of the operator's log:",
                *(f"    {text}" for text in tail),
                f"  whole log: {log}",
            ]
        )

    def get(self) -> dict[str, Any]:
        """Return the latest version of the MLJob from the cluster, as a dictionary.

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


def events_in(description: str, most: int = 8) -> list[str]:
    """Return the table of Events in the output of `kubectl describe`, as lines: the two lines of
    the table's head, and the last `most` Events. Return an empty list if the output has no Events.
    """
    lines = description.splitlines()
    starts = [number for number, text in enumerate(lines) if text.startswith("Events:")]
    if not starts:
        return []
    told = [text for text in lines[starts[-1] + 1 :] if text.strip()]
    return [*told[:2], *told[2:][-most:]]


def show_command(text: str) -> None:
    """Print an empty line, and then a line with `$` and the command, as in a terminal."""
    show(f"\n$ {text}")


def _next_steps(env: str) -> str:
    return f"""
The stack is still running. What to try next:

  {f". {env}":<50} # kubectl, helm and the variables of this stack
  make demo-platform                                 # dataset, features, model, predictions, a paused DAG
  kubectl apply -f examples/daily-statistics.yaml    # compute a week of statistics
  kubectl mljob list -w                              # ... and watch; kubectl mljob -h has more
  kubectl mljob ui                                   # the same in a browser, with graphs, curves and logs
  make up DAGS_FOLDERS=$HOME/dags                    # with DAGs of your own; docs/data-scientist.md shows one
  kubectl explain mljob.spec                         # the fields of an MLJob
  kubectl delete mljob digits-train                  # while it runs: cancels the run in Airflow
  make logs C=operator FOLLOW=1                      # follow the operator's log
  make down                                          # stop the stack"""
