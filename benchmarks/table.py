"""Prints the results of the benchmarks. Some results have a goal or a floor beside them. A floor is
the figure of a minimal program, which does only the work that every program needs for the same
result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.delivery import LABELS, MEASURES, VARIANTS

GOAL = (
    "0.7 of the floor at 60 a second; ends seen within 50 ms (p50) and 300 ms (p99) at 10; "
    "6 status patches, 2 Events and no GET; 20 ms of the operator's CPU"
)
"""The goals of the benchmark ``rates``."""
GOALS = {
    "timeouts_in_log": "0",
    "submitted_twice": "0",
    "restarted_kib_per_job": "20",
    "cpu_percent": "3 at 10,000",
    "restarted_cpu_percent": "3 at 10,000",
    "restart_ready_s": "15",
    "restart_caught_up_s": "60",
}
"""The goals of the benchmark ``live``, by figure. The goal of each exponent is 1.1."""


def show(results: dict[str, Any]) -> None:
    """Print the results of the benchmarks that ran."""
    _show_load(results)
    if upgrade := results.get("upgrade"):
        print(
            f"\n{'upgrade of two replicas':<28}{upgrade['longest_gap_s']:>11} s without a status (goal 2), "
            f"{upgrade['usual_gap_s']} s before it; {upgrade['submitted_twice']} submitted twice"
        )
    _show_live(results.get("live", {}))
    _show_latencies(results.get("event_to_status", {}))
    if "delivery" in results:
        _show_delivery(results["delivery"])
    if "fold" in results:
        row = results["fold"]
        print(
            f"{'fold':<28}{row['events_per_second']:>11,} events/s, {row['time_ratio']} times as long as json.loads alone"
        )
    for tasks, row in results.get("step", {}).items():
        print(
            f"{f'step, {tasks} tasks':<28}{row['cpu_us']:>11,} us of CPU, {row['ratio']} times as long as its JSON alone"
        )
    for program, row in results.get("client", {}).items():
        label = f"client, {program.replace('_', ' ')}"
        print(f"{label:<28}{row['cpu_ms']:>11} ms of CPU, {row['ratio']} times as long as the floor")
    if "view" in results:
        figures = ", ".join(f"{name}: {value}" for name, value in results["view"].items())
        print(f"{'view':<28}{figures}")
    if row := results.get("dashboard"):
        print(
            f"{'dashboard':<28}{row['panels']:>11} panels with {row['series']} series, filled by {row['mljobs']} MLJobs"
        )


def _show_load(results: Mapping[str, Any]) -> None:
    floor, rates = results.get("floor"), results.get("rates", {})
    if floor:
        print(f"\n{'floor: the bare writes':<28}{floor['jobs_per_second']:>8} jobs/s, {floor['writes_per_job']} writes")
    if not rates:
        return
    columns = ("jobs/s", "of floor", "end->seen p50", "p99 ms", "task->seen p50", "p99 ms", "status", "finalizer",
               "Events", "GET", "operator", "API server", "twice")  # fmt: skip
    print(f"\n{'MLJobs a second':<18}" + "".join(f"{name:>15}" for name in columns))
    print(f"{'':<18}" + "".join(f"{name:>15}" for name in (*[""] * 6, *["writes a job"] * 4, *["CPU ms a job"] * 2)))
    for rate, row in rates.items():
        per_job = row["per_job"]
        writes = [per_job.get(kind, 0.0) for kind in ("status patches", "finalizer patches", "events", "gets")]
        ratio = f"{row['of_floor']:.2f}" if "of_floor" in row else "-"
        cells = [row["jobs_per_second"], ratio, row["end_to_seen_p50_ms"], row["end_to_seen_p99_ms"],
                 row["progress_to_seen_p50_ms"], row["progress_to_seen_p99_ms"], *writes,
                 row["operator_cpu_ms_per_job"], row["api_server_cpu_ms_per_job"], row["submitted_twice"]]  # fmt: skip
        print(f"{rate:<18}" + "".join(f"{cell:>15}" for cell in cells))
        for number, again in enumerate(row.get("rounds", ()), 1):
            cells = [again["jobs_per_second"], again["of_floor"]]
            print(f"  {f'round {number}':<16}" + "".join(f"{cell:>15}" for cell in cells))
    if floor:
        cells = [
            floor["jobs_per_second"],
            "1.00",
            "",
            "",
            "",
            "",
            3.0,
            2.0,
            2.0,
            0.0,
            "",
            floor["api_server_cpu_ms_per_job"],
        ]
        print(f"{'floor':<18}" + "".join(f"{cell:>15}" for cell in cells))
    print(f"goals: {GOAL}")


def _show_live(live: Mapping[str, Any]) -> None:
    by_size = live.get("by_size", {})
    if not by_size:
        return
    print(f"\n{'live MLJobs':<32}" + "".join(f"{size:>12}" for size in by_size) + f"{'exponent':>12}  goal")
    for name in next(iter(by_size.values())):
        cells = "".join(f"{row[name]:>12}" for row in by_size.values())
        power = live["exponents"].get(name, math.nan)
        print(f"{name:<32}{cells}{'' if math.isnan(power) else power:>12}  {GOALS.get(name, '')}".rstrip())


def _show_latencies(latencies: Mapping[str, Any]) -> None:
    rows = []
    for rate in latencies.get("by_rate", {}).values():
        rows.append((f"event to status, {rate['events_per_second']:.0f}/s", rate))
    if "default_resync" in latencies:
        rows.append(("  with the change feed", latencies["default_resync"]))
    if rows:
        print(f"\n{'':<28}{'operator':>20}{'floor':>20}{'ratio':>16}")
        print(f"{'':<28}{'p50      p99 ms':>20}{'p50      p99 ms':>20}{'p50     p99':>16}")
    for name, row in rows:
        print(
            f"{name:<28}{row['p50_ms']:>11.1f}{row['p99_ms']:>9.1f}{row['floor_p50_ms']:>11.1f}{row['floor_p99_ms']:>9.1f}"
            f"{row['p50_ratio']:>8.2f}{row['p99_ratio']:>8.2f}"
        )
    if polling_row := latencies.get("polling"):
        ratio = (
            f", {polling_row['p50_ms'] / latencies['p50_ms']:.0f} times the operator's" if "p50_ms" in latencies else ""
        )
        print(f"{'polling':<28}{polling_row['p50_ms']:>11.0f}{polling_row['p99_ms']:>9.0f}{ratio}")


def _show_delivery(results: Mapping[str, Any]) -> None:
    print(f"\n{'a task, with':<28}{'cpu ms':>20}{'wall ms':>20}{'peak MiB':>20}")
    print(f"{'':<28}" + f"{'p50     p90   more':>20}" * 3)
    for name in VARIANTS:
        columns = (results[name][measure] for measure in MEASURES)
        row = "".join(f"{c['p50']:>8.0f}{c['p90']:>6.0f}{c.get('more', 0):>+6.0f}" for c in columns)
        print(f"{LABELS[name]:<28}{row}")
