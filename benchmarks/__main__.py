"""Run the benchmarks, print a table, and write the results to benchmarks/results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import client, delivery, fold, memory, plot, polling, push, step, view
from benchmarks.bench_stack import DIRECTORY, MeasurementError, bench_stack
from benchmarks.delivery import LABELS, MEASURES, VARIANTS
from benchmarks.servers import ServerError
from devstack.bootstrap import ROOT
from devstack.errors import StackError
from devstack.progress import elapsed, say

RESULTS = Path(__file__).parent / "results"
PARTS = ("delivery", "push", "polling", "memory", "fold", "step", "client", "view")
WITHOUT_STACK = {"fold", "step", "client", "view"}


def main() -> int:
    """Run the benchmarks. Return 1 after an error, which is printed, and 130 after an interrupt."""
    arguments = _parser().parse_args()
    whole = not arguments.quick and set(arguments.only) == set(PARTS)
    began = time.monotonic()
    RESULTS.mkdir(exist_ok=True)
    try:
        results = _measure(set(arguments.only), quick=arguments.quick, picture=RESULTS if whole else None)
    except (StackError, MeasurementError, ServerError) as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the benchmarks' stack is stopped")
        return 130
    if whole:
        (RESULTS / "latest.json").write_text(json.dumps(results, indent=2) + "\n")
    else:
        print(json.dumps(results, indent=2))
    _print_table(results)
    say(f"  measured in {elapsed(time.monotonic() - began)}")
    if whole:
        say(f"  written to {(RESULTS / 'latest.json').relative_to(ROOT)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="take few samples, to check that the benchmarks work; does not write results",
    )
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, default=PARTS, help="run some of the benchmarks; does not write results"
    )
    return parser


def _measure(parts: set[str], *, quick: bool, picture: Path | None) -> dict[str, Any]:
    results: dict[str, Any] = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine()}
    if parts - WITHOUT_STACK:
        say(f"Starting a stack for the benchmarks in {DIRECTORY.relative_to(ROOT)}")
        with bench_stack() as bench:
            pushed = polled = None
            if "delivery" in parts:
                # This comes first, because the other benchmarks leave queued runs in this Airflow.
                results["delivery"] = delivery.measure(
                    bench, delivery.Plan(runs=1) if quick else delivery.Plan()
                ).as_json()
            if "push" in parts:
                plan = push.Plan(blocks=((20, 2), (150, 2)), seconds=4) if quick else push.Plan()
                pushed = push.measure(bench, plan)
                first, *_ = rates = [comparison.as_json() for comparison in pushed.rates]
                by_rate = {f"{rate['events_per_second']:.0f}": rate for rate in rates}
                results["event_to_status"] = {
                    **first,
                    "by_rate": by_rate,
                    "default_resync": pushed.default_resync.as_json(),
                }
            if "polling" in parts:
                polled = polling.measure(bench, polling.Plan(jobs=10, changes=8) if quick else polling.Plan())
                latencies = results.setdefault("event_to_status", {})
                latencies["polling_p50_ms"] = polled.as_json()["p50_ms"]
                latencies["polling"] = polled.as_json()
            if "memory" in parts:
                results["memory"] = memory.measure(bench, 100 if quick else 1000).as_json()
            if pushed and polled and picture:
                plot.draw(pushed, polled, picture / "latency.svg")
    if "fold" in parts:
        results["fold"] = fold.measure().as_json()
    if "step" in parts:
        results["step"] = step.measure().as_json()
    if "client" in parts:
        results["client"] = client.measure(3 if quick else client.RUNS).as_json()
    if "view" in parts:
        small = view.Plan(jobs=200, viewers=5, seconds=5)
        results["view"] = view.measure(small if quick else view.Plan()).as_json()
    results["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return results


def _machine() -> dict[str, Any]:
    """The facts about this machine that a comparison with another machine needs."""
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


def _print_table(results: dict[str, Any]) -> None:
    latencies = results.get("event_to_status", {})
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
    if "delivery" in results:
        _print_delivery(results["delivery"])
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
    if "memory" in results:
        figures = ", ".join(f"{name}: {value}" for name, value in results["memory"].items())
        print(f"{'memory':<28}{figures}")


def _print_delivery(results: dict[str, Any]) -> None:
    print(f"\n{'a task, with':<28}{'cpu ms':>20}{'wall ms':>20}{'peak MiB':>20}")
    print(f"{'':<28}" + f"{'p50     p90   more':>20}" * 3)
    for name in VARIANTS:
        columns = (results[name][measure] for measure in MEASURES)
        row = "".join(f"{c['p50']:>8.0f}{c['p90']:>6.0f}{c.get('more', 0):>+6.0f}" for c in columns)
        print(f"{LABELS[name]:<28}{row}")


if __name__ == "__main__":
    sys.exit(main())
