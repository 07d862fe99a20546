"""The operator's background tasks and its HTTP server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import urllib3

from devstack.ports import HOST, Ports
from mljob_operator.controllers.leadership import Term
from mljob_operator.core.leadership.lease import Lease
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.status.events import KubeEvent
from mljob_operator.errors import CannotStart, NotLeading, StoreError
from mljob_operator.process import Process
from mljob_operator.settings import Settings
from tests.fakes.kubernetes_api import MLJOBS, Answer, KubernetesApi, Query, finished, kubeconfig, status

WITHIN = 180.0
"""Seconds until a test that waits for a condition fails."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        http_host=HOST,
        http_port=Ports(tmp_path)["http"],
        airflow_url=f"http://{HOST}:{Ports(tmp_path)['airflow']}",
        airflow_token="t",
    )


@pytest.fixture
def reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda url: monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", url)))


def term() -> Term:
    held = Term(Lease("mljob-operator", "uid", "1", "pod-1", 10), until=float("inf"), clock=lambda: 0.0)
    held.begin()
    return held


async def alive(settings: Settings) -> int:
    def ask() -> int:
        with urllib3.PoolManager(retries=False) as http:
            return http.request("GET", f"http://{HOST}:{settings.http_port}/livez").status

    return await asyncio.to_thread(ask)


async def fails() -> None:
    raise RuntimeError("a defect")


async def returns() -> None:
    pass


@pytest.mark.parametrize("duty", [fails, returns])
async def test_background_task_that_ends_is_logged_and_fails_the_liveness_probe(
    settings: Settings,
    reach: Callable[[str], None],
    caplog: pytest.LogCaptureFixture,
    duty: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    reach("http://nowhere")
    process = Process(settings)
    await process.listen()
    operator = await process.make_operator(term())
    assert await alive(settings) == 200
    await asyncio.wait([operator.run_in_background(duty(), "resync prod")])
    assert await alive(settings) == 503
    (told,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert told.getMessage().startswith("resync prod has ended by itself, which is a defect: /livez answers 503")
    assert (told.exc_info is not None) == (duty is fails)
    await operator.stop()
    await process.close()


async def test_lasting_refusal_of_the_credentials_fails_the_liveness_probe(
    settings: Settings, reach: Callable[[str], None]
) -> None:
    with KubernetesApi() as api:
        api.refuse = lambda _path, _query: status(401, "Unauthorized")
        reach(api.url)
        process = Process(settings)
        await process.listen()
        operator = await process.make_operator(term())
        with pytest.raises(StoreError, match="401"):
            await anext(aiter(operator._jobs.list()))
        assert await alive(settings) == 200
        process._authentication._restart_after = 0
        assert await alive(settings) == 503
        process._authentication.answered(200)
        assert await alive(settings) == 200
        await operator.stop()
        await process.close()


@pytest.mark.parametrize("state", ["made", "learning", "begun"])
async def test_operator_can_be_stopped_in_any_state_and_more_than_once(
    settings: Settings, reach: Callable[[str], None], state: str
) -> None:
    before = asyncio.all_tasks()
    with KubernetesApi() as api:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        if state == "learning":

            def busy(_path: str, _query: Query) -> Answer:
                loop.call_soon_threadsafe(asked.set)
                return 503, ""

            api.refuse = busy
        reach(api.url)
        operator = await Process(settings).make_operator(term())
        if state == "learning":
            starting = asyncio.create_task(operator.start())
            await asked.wait()
            starting.cancel()
            await asyncio.wait([starting])
        if state == "begun":
            await operator.start()
        await operator.stop()
        await operator.stop()
    assert asyncio.all_tasks() == before


async def test_term_that_ends_during_the_lists_starts_no_reader(
    settings: Settings, reach: Callable[[str], None]
) -> None:
    before = asyncio.all_tasks()
    loop, asked, answer = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    with KubernetesApi() as api:

        def slow(path: str, _query: Query) -> None:
            if path == MLJOBS:
                loop.call_soon_threadsafe(asked.set)
                answer.wait(WITHIN)

        api.refuse = slow
        reach(api.url)
        operator = await Process(settings).make_operator(term())
        starting = asyncio.create_task(operator.start())
        await asked.wait()
        await operator.settle()
        answer.set()
        await starting
        async with asyncio.timeout(WITHIN):
            await operator.stop()
        assert not operator.ready
    assert asyncio.all_tasks() == before


async def test_port_that_another_process_uses_ends_the_operator(
    settings: Settings, reach: Callable[[str], None]
) -> None:
    reach("http://nowhere")
    before = asyncio.all_tasks()
    first, second = Process(settings), Process(settings)
    await first.listen()
    with pytest.raises(CannotStart, match="another process listens"):
        await second.listen()
    await second.close()
    await first.close()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("write", ["status", "finalizer", "deletion", "Event", "Event of the operator"])
async def test_nothing_is_written_after_the_end_of_the_term(
    settings: Settings, reach: Callable[[str], None], write: str
) -> None:
    with KubernetesApi() as api:
        reach(api.url)
        held = term()
        operator = await Process(settings).make_operator(held)
        job, event = Job.from_object(finished("a")), KubeEvent("Normal", "Any", "any")
        writes: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "status": lambda: operator._jobs.write_status(job, {"phase": "Running"}),
            "finalizer": lambda: operator._jobs.set_finalizer(job, present=True),
            "deletion": lambda: operator._jobs.delete(job),
            "Event": lambda: operator._jobs.record(job, event),
            "Event of the operator": lambda: operator._parts.orphans._operator.record(event),
        }
        with pytest.raises(StoreError, match="501"):
            await writes[write]()
        held.end()
        with pytest.raises(NotLeading, match="does not hold the Lease mljob-operator any more"):
            await writes[write]()
        assert [found async for found in operator._jobs.list()] == [], "reading is allowed"
        await operator.stop()
