"""Shows how the operator's costs (memory, CPU and time) grow with the number of live MLJobs, in a
plot and by an exponent for each cost. A live MLJob has an active run. With exponent 1, twice as
many MLJobs cost twice as much; with exponent 2, four times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.live import Result, exponent

COSTS: dict[str, tuple[str, Callable[[Result], float]]] = {
    "live_mib": ("memory, MiB more than without", lambda result: result.live_mib - result.none_mib),
    "restarted_mib": ("memory after a restart", lambda result: result.restarted_mib - result.none_mib),
    "cpu_percent": ("CPU in silence, % of a core", lambda result: result.cpu),
    "restarted_cpu_percent": ("CPU in silence after a restart", lambda result: result.restarted_cpu),
    "restart_caught_up_s": ("restart, s until caught up", lambda result: result.caught_up),
    "burst_s": ("burst, s until all are submitted", lambda result: result.jobs / result.submitted_per_second),
}
"""The costs by name in the results: the label in the plot, and the function that returns the
cost.
"""


def as_json(sizes: Mapping[int, Result]) -> dict[str, Any]:
    """Return the results for each number of live MLJobs, and the exponents of the costs. A cost
    that is positive for fewer than two numbers of MLJobs has no exponent.
    """
    powers = {
        name: exponent({size: cost(result) for size, result in sizes.items()}) for name, (_, cost) in COSTS.items()
    }
    return {
        "by_size": {str(size): result.as_json() for size, result in sizes.items()},
        "exponents": {name: round(power, 2) for name, power in powers.items() if not math.isnan(power)},
    }


def draw(sizes: Mapping[int, Result], file: Path) -> None:
    """Write the plot of all costs as SVG, with logarithmic axes. Equal results give files with
    equal bytes.
    """
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "mljob"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for label, cost in COSTS.values():
        points = {size: cost(result) for size, result in sizes.items() if cost(result) > 0}
        power = exponent(points)
        shown = label if math.isnan(power) else f"{label}: exponent {power:.2f}"
        axes.plot(list(points), list(points.values()), marker="o", label=shown)
    axes.set(xscale="log", yscale="log", xlabel="live MLJobs")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)
