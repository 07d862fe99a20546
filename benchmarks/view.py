"""Measures the live view under load: 2,000 MLJobs, of which 100 change each second.

The benchmark measures the first paint of the list in Chromium, the time from a watch event to the
changed row, and the memory of one replica of the view with 50 viewers. For comparison, the
benchmark also measures the floor: the time from a watch event until a plain client of the watch has
parsed the event.

The API server is simulated (:mod:`benchmarks.view_source`). A real API server on the same two cores
can't send 100 events a second to each of 50 viewers.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import psutil
from playwright.sync_api import Page, sync_playwright

from benchmarks.bench_stack import MeasurementError
from benchmarks.figures import percentile
from benchmarks.view_source import NAMESPACES
from devstack import chromium
from devstack.progress import step

MIB = 1024 * 1024
READY_SECONDS = 180
"""The maximum time for the first lists of all viewers, in seconds."""
COLLECTION = "/apis/mljob.dev/v1alpha1/mljobs"
OBSERVER = """
() => {
  window.samples = [];
  const note = (node) => {
    const row = node.nodeType === 1 ? node.closest("tr") : node.parentElement?.closest("tr");
    const found = row?.querySelector(".c-words")?.textContent.match(/t=(\\d+)/);
    if (found && row.seen !== found[1]) { row.seen = found[1]; window.samples.push(Date.now() - Number(found[1])); }
  };
  const rows = document.getElementById("rows");
  for (const row of rows.children) note(row), window.samples.pop();
  new MutationObserver((list) => list.forEach((change) => note(change.target)))
    .observe(rows, { subtree: true, childList: true, characterData: true, attributes: true });
}
"""
"""JavaScript that records the age of each event when a row shows the event."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of the benchmark.

    Attributes:
        jobs: The number of MLJobs.
        moves: The number of changes per second.
        viewers: The number of viewers who look at the list at the same time.
        seconds: The duration of one measurement of changes, in seconds. The measurement with a
            plain client takes half of this time.
    """

    jobs: int = 2_000
    moves: float = 100.0
    viewers: int = 50
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Result:
    """Times in milliseconds, and memory in MiB. The time for an event begins when the simulated API
    server creates the event.

    Attributes:
        first_paint_ms: For two pages, the time from the start of the navigation to the first paint
            in Chromium. One viewer opens the second page after closing the first page. The view
            lists all MLJobs for the first page, so the second page is faster.
        page_bytes: The compressed size of the list's HTML.
        shown_ms: For each event, the time until Chromium shows the changed row, with one viewer.
        crowded_ms: As ``shown_ms``, with all viewers. All viewers have the same identity.
        floor_ms: For each event, the time until a plain client of the watch has parsed the event.
        one_mib: The view's memory with one viewer.
        same_mib: The view's memory with all viewers. All viewers have the same identity.
        all_mib: The view's memory with all viewers. The viewers have different identities. Each
            viewer except the first looks at one namespace.
        cpu_ms: The view's CPU time for an event, with one viewer.
    """

    first_paint_ms: tuple[float, float]
    page_bytes: int
    shown_ms: list[float]
    crowded_ms: list[float]
    floor_ms: list[float]
    one_mib: float
    same_mib: float
    all_mib: float
    cpu_ms: float

    def as_json(self) -> dict[str, Any]:
        """Return rounded figures by name. Lists of times become percentiles."""
        floor = percentile(self.floor_ms, 0.5)
        return {
            "first_paint_cold_ms": round(self.first_paint_ms[0]),
            "first_paint_ms": round(self.first_paint_ms[1]),
            "page_kib": round(self.page_bytes / 1024, 1),
            "shown_p50_ms": round(percentile(self.shown_ms, 0.5)),
            "shown_p99_ms": round(percentile(self.shown_ms, 0.99)),
            "crowded_p50_ms": round(percentile(self.crowded_ms, 0.5)),
            "crowded_p99_ms": round(percentile(self.crowded_ms, 0.99)),
            "floor_p50_ms": round(floor, 1),
            "samples": len(self.shown_ms),
            "one_viewer_mib": round(self.one_mib),
            "viewers_of_one_identity_mib": round(self.same_mib),
            "viewers_mib": round(self.all_mib),
            "cpu_ms_per_event": round(self.cpu_ms, 2),
        }


def measure(plan: Plan = Plan()) -> Result:
    """Measure the view under the load of ``plan``.

    Raises:
        MeasurementError: No row of the list has changed, or a viewer has received nothing.
    """
    program = chromium.program()
    with _process("benchmarks.view_source", str(plan.jobs), str(plan.moves)) as (_, port), ExitStack() as at_the_end:
        source = f"http://127.0.0.1:{port}"
        with step("view", "the floor"):
            floor = asyncio.run(_floor(source, plan.seconds / 2))
        browser = at_the_end.enter_context(sync_playwright()).chromium.launch(
            executable_path=str(program), args=list(chromium.ARGUMENTS), env=dict(chromium.environment(program))
        )
        at_the_end.callback(browser.close)
        with _process("benchmarks.view_process", source) as (view, url):

            def opened(token: str) -> Page:
                page = browser.new_page(extra_http_headers={"Authorization": f"Bearer {token}"})
                page.goto(f"{url}jobs")
                page.wait_for_selector("#live[data-state=live]")
                return page

            with step("view", "first paint"):
                cold = _first_paint(page := opened("viewer-0"))
                page.close()
                warm = _first_paint(page := opened("viewer-0"))
            size = _page_bytes(url)
            with step("view", "changes, one viewer"):
                before = sum(view.cpu_times()[:2])
                shown = _samples(page, plan.seconds)
                cpu_ms = 1000 * (sum(view.cpu_times()[:2]) - before) / (plan.seconds * plan.moves)
            one = _memory(view)
            changes = f"{url}jobs/events"
            with _viewers([(changes, "viewer-0")] * (plan.viewers - 1)), step("view", "viewers of one identity"):
                crowded = _samples(page, plan.seconds)
                same = _memory(view)
            others = [
                (f"{changes}?namespace=team-{number % NAMESPACES}", f"viewer-{number}")
                for number in range(1, plan.viewers)
            ]
            with _viewers(others), step("view", "viewers with identities of their own"):
                time.sleep(plan.seconds)
                everybody = _memory(view)
    return Result((cold, warm), size, shown, crowded, floor, one, same, everybody, cpu_ms)


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[tuple[psutil.Process, str]]:
    """Run a module as a process. Yield the process, and the first line of its output."""
    with subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield psutil.Process(process.pid), process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(30)


def _first_paint(page: Page) -> float:
    return float(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))


def _page_bytes(url: str) -> int:
    headers = {"Authorization": "Bearer viewer-0", "Accept-Encoding": "gzip"}
    with httpx2.stream("GET", f"{url}jobs", headers=headers) as answer:
        return sum(len(chunk) for chunk in answer.iter_raw())


def _samples(page: Page, seconds: float) -> list[float]:
    page.evaluate(OBSERVER)
    page.wait_for_timeout(seconds * 1000)
    if not (found := page.evaluate("window.samples")):
        raise MeasurementError(f"No row has changed within {seconds:.0f} seconds.")
    return [float(sample) for sample in found]


def _memory(process: psutil.Process) -> float:
    return float(process.memory_info().rss / MIB)


@contextmanager
def _viewers(streams: list[tuple[str, str]]) -> Iterator[None]:
    """During the ``with`` block, another process reads ``streams``. Each stream is a URL and the
    token of a viewer.

    Raises:
        MeasurementError: At least one stream sent nothing within 180 seconds.
    """
    command = [sys.executable, "-m", "benchmarks.view", json.dumps(streams)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline().strip() != b"ready":
                raise MeasurementError(f"The view did not serve {len(streams)} viewers within {READY_SECONDS} seconds.")
            yield
        finally:
            process.terminate()
            process.wait(30)


async def _read(client: httpx2.AsyncClient, url: str, token: str, first: asyncio.Event) -> None:
    async with client.stream("GET", url, headers={"Authorization": f"Bearer {token}"}) as answer:
        answer.raise_for_status()
        async for _ in answer.aiter_raw():
            first.set()


async def _read_all(streams: list[tuple[str, str]]) -> None:
    limits = httpx2.Limits(max_connections=len(streams))
    async with httpx2.AsyncClient(timeout=READY_SECONDS, limits=limits) as client:
        firsts = [asyncio.Event() for _ in streams]
        reading = [
            asyncio.create_task(_read(client, url, token, first))
            for (url, token), first in zip(streams, firsts, strict=True)
        ]
        async with asyncio.timeout(READY_SECONDS):
            await asyncio.gather(*(first.wait() for first in firsts))
        print("ready", flush=True)
        await asyncio.gather(*reading)


async def _floor(source: str, seconds: float) -> list[float]:
    samples: list[float] = []
    ends = time.monotonic() + seconds
    async with (
        httpx2.AsyncClient(timeout=30) as client,
        client.stream("GET", f"{source}{COLLECTION}?watch=true") as answer,
    ):
        async for line in answer.aiter_lines():
            found = re.search(r"t=(\d+)", json.loads(line)["object"]["status"]["message"])
            assert found is not None
            samples.append(time.time() * 1000 - int(found[1]))
            if time.monotonic() > ends:
                break
    return samples


if __name__ == "__main__":
    asyncio.run(_read_all([(url, token) for url, token in json.loads(sys.argv[1])]))
