"""Tasks that do nothing, with each way of telling Kafka of it, in every order; each writes down what its process cost.

The process measures itself, as its last act: an exit handler that is registered before anything else runs after everything else, so
that what a producer still sends when the process ends is counted. The dates in Airflow's records leave that out.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, chain, task

from mljob_airflow import mljob_callbacks

VARIANTS: dict[str, dict[str, Any]] = {
    "bare": {},
    "callbacks": mljob_callbacks(),
    # By its name: [kafka_event_producer] task_instance_task_id_allowlist.
    "official": {},
    "both": mljob_callbacks(),
}
COSTS = Path(os.environ["AIRFLOW_HOME"]) / "delivery.jsonl"

_task: dict[str, str] = {}


def _write_down() -> None:
    if not _task:
        return  # The process that parses this file for the scheduler.
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        **_task,
        "cpu_seconds": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
        "wall_seconds": time.clock_gettime(time.CLOCK_BOOTTIME) - _started(),
        "peak_bytes": own.ru_maxrss * 1024,
    }
    with COSTS.open("a") as file:
        file.write(json.dumps(cost) + "\n")


def _started() -> float:
    """When the kernel made this process, in seconds since the machine's start; in steps of 10 ms (proc(5), starttime)."""
    # The name, in brackets, may itself hold spaces and brackets.
    after_the_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(after_the_name[19]) / os.sysconf("SC_CLK_TCK")


atexit.register(_write_down)


def _nothing(variant: str, run_id: str | None = None) -> None:
    _task.update(variant=variant, run_id=str(run_id))
    # A task that sends nothing itself and yet has the client loaded would say that events cost nothing.
    if variant == "bare" and "confluent_kafka" in sys.modules:
        raise RuntimeError("Kafka's client was loaded before the task began: the floor is none")


with DAG(dag_id="bench_delivery", schedule=None, max_active_runs=1, tags=["benchmark"]):
    names = list(VARIANTS)
    orders = [names[turn:] + names[:turn] for turn in range(len(names))]
    chain(
        *(
            task(task_id=f"{name}_{turn}", **VARIANTS[name])(_nothing)(name)
            for turn, order in enumerate(orders)
            for name in order
        )
    )
