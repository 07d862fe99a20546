"""A DAG for the benchmark ``delivery``. Each task records the CPU time, the duration and the peak
memory of its own process, and does nothing else. The tasks differ in the producers that send events
about the task to Kafka: no producer, this project's callbacks, Airflow's own producer, or both.

A process measures itself in an exit handler. So the duration includes the time in which a producer
sends messages while the process exits. The task's dates in Airflow's database don't include this
time.
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
    # [kafka_event_producer] task_instance_task_id_allowlist selects these tasks by name.
    "official": {},
    "both": mljob_callbacks(),
}
COSTS = Path(os.environ["AIRFLOW_HOME"]) / "delivery.jsonl"

_task: dict[str, str] = {}


def _record_cost() -> None:
    if not _task:
        return  # This process only parses the file for the scheduler.
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
    """Return the start of this process in seconds since the boot (proc(5), starttime)."""
    # The name of the process, in parentheses, may contain spaces and parentheses.
    after_the_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(after_the_name[19]) / os.sysconf("SC_CLK_TCK")


atexit.register(_record_cost)


def _do_nothing(variant: str, run_id: str | None = None) -> None:
    _task.update(variant=variant, run_id=str(run_id))
    # The floor must not include the import of the Kafka client.
    if variant == "bare" and "confluent_kafka" in sys.modules:
        raise RuntimeError("the Kafka client was imported before the task started, so the floor would be too high")


with DAG(dag_id="bench_delivery", schedule=None, max_active_runs=1, tags=["benchmark"]):
    names = list(VARIANTS)
    orders = [names[turn:] + names[:turn] for turn in range(len(names))]
    chain(
        *(
            task(task_id=f"{name}_{turn}", **VARIANTS[name])(_do_nothing)(name)
            for turn, order in enumerate(orders)
            for name in order
        )
    )
