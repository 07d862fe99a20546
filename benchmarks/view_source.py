"""Simulates a Kubernetes API that serves only the list and the watch of many changing MLJobs.

Each change writes its time into the status message as ``t=...``, in milliseconds since the epoch.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

COLLECTION = "/apis/mljob.dev/v1alpha1"
NAMESPACES = 10
STRIDE = 7_919
"""A prime, so that MLJobs that change one after the other are far apart in the list."""
TASKS = ("load", "split", "fit", "evaluate", "publish")


def mljob(number: int, version: int, moved_at_ms: int) -> dict[str, Any]:
    """Return an MLJob with five tasks. Its JSON has about 4 KB, like an MLJob in a real cluster."""
    namespace, name = f"team-{number % NAMESPACES}", f"job-{number:05}"
    run = f"mljob.{namespace}.{name}.n3s7nmusm7-1"
    created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    tasks = [
        {
            "taskId": task,
            "state": "success" if at < 2 else "running" if at == 2 else "none",
            "tryNumber": 1,
            "startTime": created.isoformat(),
            "logUrl": f"https://airflow.example.com/dags/train_model/runs/{run}/tasks/{task}?map_index=-1&try_number=1",
            "metrics": {"epoch": version % 50, "loss": round(1 / (1 + version % 50), 4), "accuracy": 0.91} if at == 2 else {},
        }
        for at, task in enumerate(TASKS)
    ]  # fmt: skip
    managed = [
        {
            "manager": "mljob-operator",
            "operation": "Update",
            "fieldsV1": {f"f:field-{at}": {".": {}} for at in range(70)},
        }
    ]
    return {
        "apiVersion": "mljob.dev/v1alpha1",
        "kind": "MLJob",
        "metadata": {
            "name": name, "namespace": namespace, "uid": f"00000000-0000-0000-0000-{number:012}", "resourceVersion": str(version),
            "creationTimestamp": created.isoformat().replace("+00:00", "Z"), "labels": {"team": namespace}, "managedFields": managed,
        },
        "spec": {"type": "Training", "dagId": "train_model", "conf": {"model_id": name, "epochs": 50, "lr": 0.01}},
        "status": {
            "observedGeneration": 1, "phase": "Queued", "reason": "Queued", "message": f"The run is queued: t={moved_at_ms}", "dagRunId": run,
            "attempts": 1, "startTime": created.isoformat(), "progress": "2/5", "percent": 40, "currentTask": "fit",
            "taskCounts": {"total": 5, "success": 2, "running": 1, "none": 2}, "tasks": tasks,
        },
    }  # fmt: skip


class Source:
    """Simulates MLJobs that change, and serves their list and their watches over HTTP.

    Args:
        jobs: The number of MLJobs.
        moves: The number of changes per second, of all MLJobs together. With 0, no MLJob changes.
    """

    def __init__(self, jobs: int, moves: float) -> None:
        self._moves = moves
        self._version = 1_000
        self._jobs = {number: mljob(number, self._version, 0) for number in range(jobs)}
        self._watches: dict[asyncio.Queue[bytes], str | None] = {}

    def application(self) -> web.Application:
        """Return the web application. The MLJobs change while the application runs."""
        app = web.Application()
        app.router.add_get(f"{COLLECTION}/mljobs", self._answer)
        app.router.add_get(f"{COLLECTION}/namespaces/{{namespace}}/mljobs", self._answer)
        app.cleanup_ctx.append(self._moving)
        return app

    async def _moving(self, _: web.Application) -> AsyncIterator[None]:
        moving = asyncio.create_task(self._move())
        yield
        moving.cancel()

    async def _move(self) -> None:
        begun, moved = time.monotonic(), 0
        while self._moves:
            due = begun + moved / self._moves
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            number = moved * STRIDE % len(self._jobs)
            self._version, moved = self._version + 1, moved + 1
            self._jobs[number] = mljob(number, self._version, int(time.time() * 1000))
            event = json.dumps({"type": "MODIFIED", "object": self._jobs[number]}).encode() + b"\n"
            for watch, namespace in self._watches.items():
                if namespace in (None, self._jobs[number]["metadata"]["namespace"]):
                    watch.put_nowait(event)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        namespace = request.match_info.get("namespace")
        if request.query.get("watch") == "true":
            return await self._watch(request, namespace)
        start, size = int(request.query.get("continue", "0")), int(request.query.get("limit", "500"))
        numbers = [number for number, job in self._jobs.items() if namespace in (None, job["metadata"]["namespace"])]
        metadata = {"resourceVersion": str(self._version)}
        if start + size < len(numbers):
            metadata["continue"] = str(start + size)
        items = [self._jobs[number] for number in numbers[start : start + size]]
        return web.json_response({"kind": "MLJobList", "metadata": metadata, "items": items})

    async def _watch(self, request: web.Request, namespace: str | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        events: asyncio.Queue[bytes] = asyncio.Queue()
        self._watches[events] = namespace
        try:
            while True:
                await response.write(await events.get())
        except ConnectionError:
            return response
        finally:
            del self._watches[events]


async def _main(jobs: int, moves: float) -> None:
    runner = web.AppRunner(Source(jobs, moves).application(), handle_signals=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[union-attr]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
