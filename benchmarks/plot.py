"""Draws the latencies that the benchmarks ``push`` and ``polling`` have measured.

For each number of milliseconds, a curve shows the share of changes that a Kubernetes watch has
received within this time. The time starts at the event in Kafka (``push``), or at the change in
Airflow (``polling``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from benchmarks import polling, push
from benchmarks.figures import percentile
from benchmarks.polling_operator import INTERVAL

POINTS = 200
"""Points of a curve: enough for its shape, and few enough for a small file."""


def draw(pushed: push.Result, polled: polling.Result, file: Path) -> None:
    """Write the plot to ``file`` as SVG. The same results give the same bytes."""
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "mljob"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for comparison, colour in zip(pushed.rates, ("tab:blue", "tab:green", "tab:purple"), strict=False):
        rate = f"{comparison.rate:.0f} events/s"
        axes.plot(*_curve(comparison.operator.samples), color=colour, label=f"operator, {rate}")
        axes.plot(*_curve(comparison.floor.samples), color=colour, linestyle=":", label=f"floor, {rate}")
    axes.plot(*_curve(polled.samples), color="tab:red", label=f"polling every {INTERVAL:.0f} s")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="milliseconds from the event to the watcher", ylabel="share of changes seen", ylim=(0, 1))
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(file, metadata={"Date": None})
    pyplot.close(figure)


def _curve(samples: Sequence[float]) -> tuple[list[float], list[float]]:
    shares = [point / POINTS for point in range(POINTS + 1)]
    return [percentile(samples, share) for share in shares], shares
