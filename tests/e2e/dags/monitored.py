"""DAGs with problems for the monitoring DAGs to find."""

from __future__ import annotations

import random
import time
from pathlib import Path

from airflow.sdk import DAG, Param, get_current_context, task

with DAG("monitored_paused", schedule=None, is_paused_upon_creation=False, default_args={"owner": "team-ml"}):

    @task
    def wait_for_unpause() -> None: ...

    wait_for_unpause()


with DAG("monitored_failing", schedule=None, is_paused_upon_creation=False, default_args={"owner": "team-ml"}):

    @task
    def load() -> None:
        row = random.randint(1, 10**6)
        raise ValueError(f"row {row} has no <label>")

    load()


with DAG(
    "monitored_stuck",
    schedule=None,
    is_paused_upon_creation=False,
    max_active_runs=1,
    default_args={"owner": "team-data"},
    owner_links={"team-data": "https://example.slack.com/archives/C0DATA00001"},
):

    @task
    def hold() -> None:
        """Keep the DAG's only active run busy, so that other runs stay queued."""
        time.sleep(900)

    hold()


with DAG(
    "monitored_slow",
    schedule=None,
    is_paused_upon_creation=False,
    default_args={"owner": "team-serving"},
    params={"wake_file": Param(None, type=["null", "string"], description="File whose appearance ends the run.")},
):

    @task(pool="monitored")
    def serve() -> None:
        """Wait until the file ``wake_file`` exists. Without ``wake_file``, end at once."""
        wake_file, end = get_current_context()["params"]["wake_file"], time.monotonic() + 600
        while wake_file and time.monotonic() < end and not Path(wake_file).exists():
            time.sleep(0.1)

    serve()
