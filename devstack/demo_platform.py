"""The demo of a platform: a dataset, a model, predictions, a new version of the model, and a paused
DAG.

The demo has these steps:

- The demo applies all files of `examples/platform/` at once.
- The demo watches the MLJobs one after the other. Upstream MLJobs come first.
- The demo pauses a DAG. The monitoring DAG finds the paused DAG, and sends a Slack message to the
  owner of the paused DAG.

A server on loopback, in this process, takes the place of Slack. The demo prints the `kubectl` and
`airflow` commands with which a person can repeat each of these steps.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devstack import processes, slack
from devstack.bootstrap import ROOT
from devstack.demo import ShownJob, assert_succeeded, phase_of, show_command
from devstack.errors import StackError
from devstack.progress import elapsed, step
from devstack.stack import Stack
from devstack.terminal import show

FOLDER = ROOT / "examples" / "platform"
STEPS = (
    ("1-generate", "Grow a dataset"),
    ("2-enrich", "Enrich it"),
    ("3-train", "Compare candidate models on it, and publish the best"),
    ("4-predict", "Predict with the model"),
    ("5-infer", "Ask the model for one prediction"),
    ("6-backfill", "Predict days that have passed"),
    ("7-train-again", "Train a second version of the model"),
    ("8-backfill-again", "Predict the days again with the second version"),
)
PAUSED = ("4-predict", "predict")
"""The file with the MLJob that waits while its DAG is paused, and the DAG's id."""
MONITOR = "mljob_monitor"
OWNER, CHANNEL = "ml-platform", "#ml-platform"
MESSAGE_BOUND = 180
"""Seconds that the monitoring DAG may take to send the message to Slack. The DAG takes about 15
seconds on an idle machine.
"""


def settings(stack: Stack) -> dict[str, str]:
    """Return the environment variables of the demo's Airflow. The variables have these effects:

    - The monitoring DAG sends its messages to the demo's Slack server.
    - The monitoring DAG has no schedule, and runs only when somebody triggers the DAG.

    If another program uses the port of the Slack server, this function first chooses another port
    for the Slack server.
    """
    stack.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    stack.ports.forget_taken(["slack"])
    address = {"base_url": f"http://127.0.0.1:{stack.ports['slack']}/api/"}
    connection = {"conn_type": "slack", "password": slack.TOKEN, "extra": json.dumps(address)}
    return {
        "AIRFLOW_CONN_SLACK_DEMO": json.dumps(connection),
        "AIRFLOW_VAR_MLJOB_OWNERS": json.dumps({OWNER: CHANNEL}),
        "AIRFLOW__MLJOB__SLACK_CONN_ID": "slack_demo",
        "AIRFLOW__MLJOB__SLACK_CHANNEL": "#platform",
        "AIRFLOW__MLJOB__MONITOR_SCHEDULE": "none",
    }


def run(stack: Stack, bound: float) -> None:
    """Run the demo, and print each of its steps.

    Args:
        stack: A running stack that was started with the variables of `settings`.
        bound: How many seconds the demo waits for each MLJob.

    Raises:
        StackError: An MLJob did not succeed within `bound` seconds. Or the second backfill, which
            uses the new version of the model, did not predict each day again. Or the MLJob of the
            paused DAG did not get the reason DagPaused in its status within `bound` seconds. Or the
            message to the owner of the paused DAG did not come within `MESSAGE_BOUND` seconds. Or
            the Slack server refused a message.
    """
    began = time.monotonic()
    jobs = {file: ShownJob(stack, FOLDER / f"{file}.yaml") for file, _ in STEPS}
    kubectl = jobs["1-generate"].kubectl
    for job in jobs.values():
        job.clear()
    show_command(f"kubectl apply -f {os.path.relpath(FOLDER)}/")
    show(kubectl("apply", f"--filename={FOLDER}", "--namespace=default").strip())
    for number, (file, title) in enumerate(STEPS, 1):
        show(f"\n=== {number}/{len(STEPS) + 1}  {title}")
        ended = jobs[file].watch(time.monotonic() + bound)
        assert_succeeded(jobs[file], ended, bound)
    _show_columns(kubectl)
    _show_lineage(jobs["4-predict"], jobs["8-backfill-again"])
    show(f"\n=== {len(STEPS) + 1}/{len(STEPS) + 1}  Pause a DAG on purpose")
    with slack.slack_server(stack.ports["slack"]) as server, _paused(stack, PAUSED[1]):
        waiting = jobs[PAUSED[0]]
        waiting.clear()
        waiting.apply()
        seen = waiting.until_reason("DagPaused", time.monotonic() + bound)
        if seen["status"].get("reason") != "DagPaused":
            raise StackError(waiting.explain(seen, "does not say in its status that its DAG is paused"))
        show(f"  {phase_of(seen)}: {seen['status'].get('message', '')}")
        show(f"\nSlack, {CHANNEL}:\n\n{_boxed(slack.as_text(_slack_message(stack, server)))}")
        show(f"\nThe same as a page: {stack.directory / 'reports' / 'mljob_monitor' / 'latest.html'}")
    assert_succeeded(waiting, waiting.watch(time.monotonic() + bound), bound)
    show_command("kubectl get mljobs -o wide")
    show(kubectl("get", "mljobs", "--output=wide").rstrip())
    show(f"\n  {len(STEPS)} jobs succeeded, and a paused DAG was found ({elapsed(time.monotonic() - began)})")


def _show_columns(kubectl: Any) -> None:
    columns = FOLDER / "columns.txt"
    show_command(f"kubectl get mljobs -o custom-columns-file={os.path.relpath(columns)}")
    show(kubectl("get", "mljobs", f"--output=custom-columns-file={columns}").rstrip())


def _show_lineage(predict: ShownJob, backfill: ShownJob) -> None:
    """Print which version of the model made the latest predictions of each day. Then print the
    lineage of the last day's predictions: all artifacts from which these predictions were made,
    back to the dataset.

    Raises:
        StackError: Another MLJob than `backfill` made the latest predictions of a day.
    """
    data = Path(predict.get()["status"]["outputs"]["predictions_path"]).parents[3]
    show("\nThe days after the second backfill:")
    for folder in sorted((data / "predictions").glob("handwriting-2026-*")):
        version = (folder / "latest").read_text()
        card = json.loads((folder / version / "card.json").read_text())
        if card["created_by"].get("mljob", "").split("/")[-1] != backfill.name:
            raise StackError(
                f"{folder.name} was not predicted again: its latest version was made by {card['created_by']}, not by MLJob {backfill.name}"
            )
        made = sum(found.is_dir() and not found.name.startswith(".") for found in folder.iterdir())
        [model] = card["parents"]
        accuracy = card["metrics"]["accuracy"]
        show(f"  {card['day']}  model {model['version']}  accuracy {accuracy:.3f}  {made} versions of the predictions")
    show("\nThe cards, from the last day's predictions back to the dataset:")
    for artifact in _lineage(data, "predictions", folder.name, version):
        show(f"  {artifact}")


def _lineage(data: Path, kind: str, name: str, version: str) -> Iterator[str]:
    yield f"{kind}/{name}/{version}"
    for parent in json.loads((data / kind / name / version / "card.json").read_text())["parents"]:
        yield from _lineage(data, parent["kind"], parent["name"], parent["version"])


@contextmanager
def _paused(stack: Stack, dag_id: str) -> Iterator[None]:
    _airflow(stack, "dags", "pause", dag_id, "--yes")
    try:
        yield
    finally:
        _airflow(stack, "dags", "unpause", dag_id, "--yes")


def _slack_message(stack: Stack, server: slack.SlackServer) -> slack.Message:
    """Trigger the monitoring DAG, and wait for a message in the Slack channel of the paused DAG's
    owner. Return this message. ``server`` takes the place of Slack.

    Raises:
        StackError: No message came to this channel within ``MESSAGE_BOUND`` seconds, or ``server``
            refused a message.
    """
    # Clear the Variable with the monitoring DAG's state, because the DAG would not repeat the
    # message of an earlier demo.
    _airflow(stack, "variables", "set", f"{MONITOR}_memory", "{}")
    _airflow(stack, "dags", "unpause", MONITOR, "--yes")
    try:
        _airflow(stack, "dags", "trigger", MONITOR)
        with step("monitoring", "waiting for a message to Slack"):
            deadline = time.monotonic() + MESSAGE_BOUND
            while True:
                for message in server.messages:
                    if message.channel == server.id_of(CHANNEL):
                        return message
                if server.refused or time.monotonic() > deadline:
                    raise StackError(
                        f"No message about the paused DAG came to Slack within {MESSAGE_BOUND} s. Messages that Slack refused: "
                        f"{server.refused or 'none'}. See the run of {MONITOR} in Airflow: {stack.env['AIRFLOW_URL']}/dags/{MONITOR}"
                    )
                time.sleep(0.2)
    finally:
        _airflow(stack, "dags", "pause", MONITOR, "--yes")


def _airflow(stack: Stack, *arguments: str) -> None:
    show_command(" ".join(["airflow", *(argument for argument in arguments if argument != "--yes")]))
    environment = stack.airflow_env()
    processes.run([shutil.which("airflow", path=environment["PATH"]) or "airflow", *arguments], env=environment)


def _boxed(text: str) -> str:
    return "\n".join(f"  | {line}".rstrip() for line in text.splitlines())
