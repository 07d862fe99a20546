"""The part of the operator that runs beside kopf's watch: a background task that ends fails the
liveness probe, and the operator can be stopped in any state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import urllib3

from devstack.ports import HOST, Ports
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.errors import CannotStart, StoreError
from mljob_operator.main import Operator
from mljob_operator.settings import Settings
from tests.fakes.kubernetes_api import Answer, KubernetesApi, Query, kubeconfig, status


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        http_host=HOST,
        http_port=Ports(tmp_path)["http"],
        airflow_url=f"http://{HOST}:{Ports(tmp_path)['airflow']}",
        airflow_token="t",
    )


async def an_operator(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Operator:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", url)))
    return Operator(settings, await connect(), await connect(for_watches=True))


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
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    duty: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    operator = await an_operator(settings, tmp_path, monkeypatch, "http://nowhere")
    await operator.listen()
    assert await alive(settings) == 200
    await asyncio.wait([operator.run_in_background(duty(), "resync prod")])
    assert await alive(settings) == 503
    (told,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert told.getMessage().startswith("resync prod has ended by itself, which is a defect: /livez answers 503")
    assert (told.exc_info is not None) == (duty is fails)
    await operator.stop()


async def test_lasting_refusal_of_the_credentials_fails_the_liveness_probe(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clients of the Kubernetes API count: kopf's, and the one of all other requests."""
    with KubernetesApi() as api:
        api.refuse = lambda _path, _query: status(401, "Unauthorized")
        operator = await an_operator(settings, tmp_path, monkeypatch, api.url)
        await operator.listen()
        with pytest.raises(StoreError, match="401"):
            await anext(aiter(operator._jobs.list()))
        assert await alive(settings) == 200
        operator._authentication._restart_after = 0
        assert await alive(settings) == 503
        operator._authentication.answered(200)
        assert await alive(settings) == 200
        await operator.stop()


@pytest.mark.parametrize("state", ["made", "listening", "learning", "begun", "without a port"])
async def test_operator_can_be_stopped_in_any_state_and_more_than_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
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
        operator = await an_operator(settings, tmp_path, monkeypatch, api.url)
        if state == "without a port":
            other = await an_operator(settings, tmp_path, monkeypatch, api.url)
            await other.listen()
            with pytest.raises(CannotStart, match="another process listens"):
                await operator.listen()
            await other.stop()
        elif state != "made":
            await operator.listen()
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
