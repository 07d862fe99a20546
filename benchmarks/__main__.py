"""Run the benchmarks, and print a table of the results. The results are written to
benchmarks/results in two cases: with --keep, or if all benchmarks ran without --quick and without
an error.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import (
    bare_writes,
    client,
    delivery,
    fold,
    growth,
    live,
    plot,
    polling,
    push,
    rates,
    step,
    table,
    upgrade,
    view,
)
from benchmarks.bench_stack import DIRECTORY, BenchStack, MeasurementError, bench_stack
from benchmarks.dashboard import measurement as dashboard
from benchmarks.servers import ServerError
from devstack.bootstrap import ROOT
from devstack.errors import StackError
from devstack.progress import elapsed, say

RESULTS = Path(__file__).parent / "results"
SIMULATED_PARTS = ("floor", "rates", "upgrade", "live", "push", "polling")
PARTS = ("delivery", *SIMULATED_PARTS, "fold", "step", "client", "view", "dashboard")
FLOOR_JOBS = 400
LATENCIES = "event_to_status"
"""The name of the results of ``push`` and ``polling``."""
QUICK_RATES, QUICK_SIZES = (5.0, 20.0), (20, 100)
QUICK_DASHBOARD = dashboard.Plan(seconds=90, picture=ROOT / ".dev-dashboard" / "dashboard.png")


@dataclass
class Run:
    """One run of the benchmarks.

    Attributes:
        parts: The benchmarks to run.
        rates: The plan of the benchmark ``rates``.
        live: The plan of the benchmark ``live``.
        floor_jobs: How many MLJobs the benchmark ``floor`` (:mod:`.bare_writes`) writes.
        quick: Whether few samples are taken.
        pictures: The folder for plots, or None for no plots.
        results: The results so far.
    """

    parts: set[str]
    rates: rates.Plan
    live: live.Plan
    floor_jobs: int
    quick: bool
    pictures: Path | None
    results: dict[str, Any] = field(default_factory=dict)

    def measure(self) -> None:
        """Run the benchmarks in ``parts``, and store the results in ``results``."""
        self.results |= {"date": datetime.now(UTC).isoformat(timespec="seconds"), "machine": _machine()}
        if "delivery" in self.parts:
            with self._stack(simulated=False) as bench:
                plan = delivery.Plan(runs=1) if self.quick else delivery.Plan()
                self.results["delivery"] = delivery.measure(bench, plan).as_json()
        if self.parts & set(SIMULATED_PARTS):
            with self._stack(simulated=True) as bench:
                self._measure_load(bench)
                self._measure_latency(bench)
        alone: dict[str, Callable[[], Any]] = {
            "fold": fold.measure,
            "step": step.measure,
            "client": lambda: client.measure(3 if self.quick else client.RUNS),
            "view": lambda: view.measure(view.Plan(jobs=200, viewers=5, seconds=5) if self.quick else view.Plan()),
        }
        for part, measured in alone.items():
            if part in self.parts:
                self.results[part] = measured().as_json()
        if "dashboard" in self.parts:
            self._draw_dashboard(QUICK_DASHBOARD if self.quick else dashboard.Plan())
        self.results["machine"]["load_after"] = round(os.getloadavg()[0], 2)

    def _measure_load(self, bench: BenchStack) -> None:
        """Run those of the benchmarks ``floor``, ``rates``, ``upgrade`` and ``live`` that are in
        ``parts``. With ``rates``, also run ``floor``. Store each result before the next benchmark
        begins, because a later benchmark may fail.
        """
        if self.parts & {"floor", "rates"}:
            floor = bare_writes.measure(bench, self.floor_jobs)
            self.results["floor"] = floor.as_json()
        if "rates" in self.parts:
            self._measure_rates(bench, floor)
        if "upgrade" in self.parts:
            self.results["upgrade"] = upgrade.measure(bench, seconds=20 if self.quick else upgrade.SECONDS).as_json()
        if "live" in self.parts:
            sizes: dict[int, live.Result] = {}
            for cost in live.measure(bench, self.live):
                sizes[cost.jobs] = cost
                self.results["live"] = growth.as_json(sizes)
                if self.pictures is not None:
                    growth.draw(sizes, self.pictures / "growth.svg")

    def _measure_rates(self, bench: BenchStack, floor: bare_writes.Result) -> None:
        found = self.results["rates"] = {}
        for result in rates.measure(bench, self.rates):
            found[f"{result.rate:g}"] = result.as_json()
        # The speed of the machine changes within minutes. So the highest rate is measured several
        # times, each time between two measurements of the floor.
        floors, rounds, highest = [floor], list[dict[str, float]](), found[f"{max(self.rates.rates):g}"]
        for number in range(1, self.rates.rounds + 1):
            row = highest if number == 1 else rates.measure_highest_again(bench, self.rates, number).as_json()
            floors.append(bare_writes.measure(bench, self.floor_jobs, first=number * self.floor_jobs))
            both = statistics.mean(each.jobs_per_second for each in floors[-2:])
            rounds.append(
                {
                    "jobs_per_second": row["jobs_per_second"],
                    "floor_jobs_per_second": round(both, 1),
                    "of_floor": round(row["jobs_per_second"] / both, 2),
                    "status_patches_per_job": row["per_job"]["status patches"],
                }
            )
        mean = statistics.mean(each.jobs_per_second for each in floors)
        self.results["floor"] |= {
            "jobs_per_second": round(mean, 1),
            "each_jobs_per_second": [round(each.jobs_per_second, 1) for each in floors],
        }
        for row in found.values():
            row["of_floor"] = round(row["jobs_per_second"] / mean, 2)
        highest |= {"of_floor": round(statistics.median(each["of_floor"] for each in rounds), 2), "rounds": rounds}

    def _measure_latency(self, bench: BenchStack) -> None:
        latencies: dict[str, Any] = {}
        pushed = polled = None
        if "push" in self.parts:
            plan = push.Plan(blocks=((20, 2), (150, 2)), seconds=4) if self.quick else push.Plan()
            pushed = push.measure(bench, plan)
            first, *_ = every = [comparison.as_json() for comparison in pushed.rates]
            by_rate = {f"{rate['events_per_second']:.0f}": rate for rate in every}
            latencies |= {**first, "by_rate": by_rate, "default_resync": pushed.default_resync.as_json()}
        if "polling" in self.parts:
            polled = polling.measure(bench, polling.Plan(jobs=10, changes=8) if self.quick else polling.Plan())
            latencies |= {"polling_p50_ms": polled.as_json()["p50_ms"], "polling": polled.as_json()}
        if latencies:
            self.results[LATENCIES] = latencies
        if pushed and polled and self.pictures is not None:
            plot.draw(pushed, polled, self.pictures / "latency.svg")

    def _draw_dashboard(self, plan: dashboard.Plan) -> None:
        with self._stack(simulated=True, options=dashboard.OPTIONS) as bench:
            self.results["dashboard"] = dashboard.measure(bench, plan).as_json()
        say(f"  drawn to {plan.picture.relative_to(ROOT)}")

    @contextmanager
    def _stack(self, *, simulated: bool, options: str = "") -> Iterator[BenchStack]:
        kind = "simulated" if simulated else "real"
        say(f"Starting a stack with a {kind} Airflow for the benchmarks in {DIRECTORY.relative_to(ROOT)}")
        with bench_stack(simulated=simulated, options=options) as bench:
            yield bench


def main() -> int:
    """Run the benchmarks, and show the results. After an error, show the results so far.

    Return the exit status: 0 after a success, 1 after an error, 130 after an interrupt.
    """
    arguments = _parser().parse_args()
    whole, quick = not arguments.quick and set(arguments.only) == set(PARTS), arguments.quick
    run = Run(
        set(arguments.only),
        rates.Plan(
            tuple(arguments.rates or (QUICK_RATES if quick else rates.RATES)),
            arguments.seconds or (5 if quick else rates.SECONDS),
            rounds=1 if quick else rates.ROUNDS,
        ),
        live.Plan(
            tuple(arguments.live or (QUICK_SIZES if quick else live.SIZES)),
            arguments.silence or (10 if quick else live.SILENCE),
        ),
        floor_jobs=arguments.floor_jobs or (50 if quick else FLOOR_JOBS),
        quick=quick,
        pictures=RESULTS if whole or arguments.keep else None,
    )
    began, status = time.monotonic(), 0
    RESULTS.mkdir(exist_ok=True)
    try:
        run.measure()
    except (StackError, MeasurementError, ServerError) as error:
        say(f"error: {error}")
        status = 1
    except KeyboardInterrupt:
        say("interrupted; the benchmarks' stack is stopped")
        status = 130
    if arguments.keep or (whole and not status):
        _store(run.results, whole=whole and not status)
    else:
        print(json.dumps(run.results, indent=2))
    table.show(run.results)
    say(f"  measured in {elapsed(time.monotonic() - began)}")
    return status


def _store(results: dict[str, Any], *, whole: bool) -> None:
    file = RESULTS / "latest.json"
    file.write_text(json.dumps(merged(json.loads(file.read_text()), results, whole=whole), indent=2) + "\n")
    say(f"  written to {file.relative_to(ROOT)}")


def merged(before: dict[str, Any], results: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """Merge the results of this run into the earlier results.

    The field ``measured`` of the merged results has an entry for each benchmark that ran after the
    last complete run: the date and the machine of the benchmark's newest results. Results of
    benchmarks that no longer exist are left out.

    Args:
        before: The earlier results.
        results: The results of this run.
        whole: Whether this run was complete: all benchmarks ran without ``--quick`` and without an
            error. Then the function returns ``results`` alone.
    """
    if whole:
        return results
    circumstances = {name: results[name] for name in ("date", "machine")}
    new = {name: value for name, value in results.items() if name not in circumstances}
    kept = {name: value for name, value in before.items() if name in ("date", "machine", LATENCIES, *PARTS)}
    return kept | new | {"measured": before.get("measured", {}) | dict.fromkeys(new, circumstances)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="take few samples, to check that the benchmarks work; writes no results without --keep",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="run some of the benchmarks; writes no results without --keep",
    )
    parser.add_argument("--keep", action="store_true", help="write results of some benchmarks too")
    parser.add_argument(
        "--rates", nargs="+", type=float, metavar="N", help="MLJobs a second; by default 5 8 10 20 40 60"
    )
    parser.add_argument("--seconds", type=float, help="how long each rate lasts; by default 20")
    parser.add_argument("--floor-jobs", type=int, help=f"how many MLJobs the floor writes; by default {FLOOR_JOBS}")
    parser.add_argument(
        "--live", nargs="+", type=int, metavar="N", help="numbers of live MLJobs; by default 100 1000 2000"
    )
    parser.add_argument(
        "--silence", type=float, help="seconds in which the CPU time of silence is taken; by default 60"
    )
    return parser


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    sys.exit(main())
