from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

from devstack.ports import HOST, Ports
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.api.__main__ import main
from mljob_operator.api.front_proxy import NoFrontProxy
from mljob_operator.api.server import ApiServer
from mljob_operator.api.settings import ApiSettings
from tests.fakes.kubernetes_api import Answer, KubernetesApi, Query, kubeconfig, status
from tests.live.eventually import until

from .conftest import message_of

CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
BASE = "/apis/run.mljob.dev/v1alpha1"


class Installed:
    """mljob-api, with a fake Kubernetes API that serves the ConfigMap about the front proxy.

    Attributes:
        data: The data of the ConfigMap; None if the ConfigMap does not exist.
        fails: How many of the next requests for the ConfigMap fail.
    """

    def __init__(self, folder: Path, set_variable: Callable[[str, str], None]) -> None:
        self._folder, self._set = folder, set_variable
        self.authority, self.proxy_ca = trustme.CA(), trustme.CA()
        ports = Ports(folder)
        self.port, self.probe_port = ports["http"], ports["operator"]
        served = self.authority.issue_cert("localhost")
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        self.cert.write_bytes(b"".join(pem.bytes() for pem in served.cert_chain_pems))
        self.key.write_bytes(served.private_key_pem.bytes())
        self.data: dict[str, str] | None = {
            "requestheader-client-ca-file": self.proxy_ca.cert_pem.bytes().decode(),
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }
        self.fails = 0
        self.kubernetes = KubernetesApi()
        self.kubernetes.refuse = self._answer
        for name, value in {
            "KUBECONFIG": str(kubeconfig(folder / "config", self.kubernetes.url)),
            "MLJOB_API_HOST": HOST,
            "MLJOB_API_PORT": str(self.port),
            "MLJOB_API_PROBE_HOST": HOST,
            "MLJOB_API_PROBE_PORT": str(self.probe_port),
            "MLJOB_API_CERT_FILE": str(self.cert),
            "MLJOB_API_KEY_FILE": str(self.key),
        }.items():
            set_variable(name, value)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def _answer(self, path: str, _: Query) -> Answer | None:
        if path == CONFIG_MAP and self.fails:
            self.fails -= 1
            return status(500, "etcd is away")
        if path == CONFIG_MAP and self.data is not None:
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": self.data}
            return 200, json.dumps(body)
        code, text = status(404, f"there is no {path}")
        return code, json.dumps(json.loads(text) | {"reason": "NotFound"})

    async def start(self) -> None:
        self._task = asyncio.create_task(ApiServer(ApiSettings(), await connect()).run(self._stop))
        async with aiohttp.ClientSession() as http:
            for _ in range(600):
                if self._task.done():
                    self._task.result()
                try:
                    async with http.get(f"http://{HOST}:{self.probe_port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError("mljob-api is not ready")

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def get(
        self, path: str, *, name: str | None = "front-proxy-client", port: int | None = None
    ) -> tuple[int, str]:
        """Send a GET request. ``name`` is the name in the client certificate; None for no
        certificate. Return the HTTP status, and the body or the error's message.
        """
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if name is not None:
            self.proxy_ca.issue_cert(common_name=name).configure_cert(context)
        async with aiohttp.ClientSession() as http:
            url = f"https://localhost:{port or self.port}{path}"
            async with http.get(url, ssl=context, headers={"X-Remote-User": "ada"}) as answer:
                if answer.status >= 400:
                    return await message_of(answer)
                return answer.status, await answer.text()

    async def metrics(self) -> str:
        async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{self.probe_port}/metrics") as answer:
            return await answer.text()


@pytest.fixture
async def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installed]:
    installed = Installed(tmp_path, monkeypatch.setenv)
    with installed.kubernetes:
        yield installed
        await installed.stop()


async def test_front_proxy_is_served_and_nobody_else(installed: Installed) -> None:
    await installed.start()
    code, text = await installed.get(BASE)
    assert (code, json.loads(text)["groupVersion"]) == (200, "run.mljob.dev/v1alpha1")
    code, message = await installed.get(f"{BASE}/namespaces/team-a/mljobs/churn/log")
    assert (code, message) == (404, "MLJob churn does not exist in namespace team-a.")
    for name in (None, "somebody"):
        assert (await installed.get(BASE, name=name))[0] == 401
    metrics = await installed.metrics()
    assert 'mljob_api_requests_total{code="404",subresource="log"} 1.0' in metrics
    assert 'mljob_api_requests_total{code="401",subresource="other"} 2.0' in metrics
    assert "mljob_api_event_readers 0.0" in metrics


async def test_start_waits_for_the_kubernetes_api(installed: Installed) -> None:
    installed.fails = 2
    await installed.start()
    assert installed.fails == 0
    assert (await installed.get(BASE))[0] == 200


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (None, "does not exist"),
        ({"requestheader-client-ca-file": ""}, "requestheader-client-ca-file"),
        ({"requestheader-allowed-names": "[]"}, "MLJOB_API_ALLOW_ANY_FRONT_PROXY_NAME"),
    ],
)
async def test_start_is_refused_where_nobody_or_everybody_would_be_trusted(
    installed: Installed, change: dict[str, str] | None, named: str
) -> None:
    installed.data = installed.data | change if change is not None and installed.data is not None else None
    with pytest.raises(NoFrontProxy, match=named):
        await installed.start()


async def test_any_name_is_served_where_the_settings_say_so(
    installed: Installed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLJOB_API_ALLOW_ANY_FRONT_PROXY_NAME", "true")
    assert installed.data is not None
    installed.data["requestheader-allowed-names"] = "[]"
    await installed.start()
    assert (await installed.get(BASE, name="somebody"))[0] == 200
    assert (await installed.get(BASE, name=None))[0] == 401


async def test_config_map_that_loses_its_names_closes_the_door(
    installed: Installed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mljob_operator.api.server.REFRESH_SECONDS", 0.05)
    await installed.start()
    installed.fails = 3
    await until(lambda: not installed.fails, "the ConfigMap was asked for")
    assert (await installed.get(BASE))[0] == 200
    assert installed.data is not None
    installed.data["requestheader-allowed-names"] = "[]"
    await until(lambda: "allows any name" in caplog.text, "the change is noticed")
    assert (await installed.get(BASE))[0] == 401


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"MLJOB_API_CERT_FILE": ""}, "MLJOB_API_CERT_FILE: Field required"),
        ({"MLJOB_API_KEY_FILE": "/nowhere/tls.key"}, "MLJOB_API_CERT_FILE, MLJOB_API_KEY_FILE: a file can't be read"),
        ({"MLJOB_API_PORT": "99999"}, "MLJOB_API_PORT: Input should be less than or equal to 65535"),
        ({"MLJOB_API_PROBE_PORT": "0"}, "MLJOB_API_PROBE_PORT"),
        ({"MLJOB_API_CONNECTIONS": "0"}, "MLJOB_API_CONNECTIONS"),
        ({"MLJOB_API_STREAMS": "many"}, "MLJOB_API_STREAMS"),
        ({"MLJOB_API_EVENT_READERS": "-1"}, "MLJOB_API_EVENT_READERS"),
        ({"MLJOB_API_FOLLOW_SECONDS": "0"}, "MLJOB_API_FOLLOW_SECONDS"),
        ({"MLJOB_API_EVENTS_IN_ANY_PARTITION": "perhaps"}, "MLJOB_API_EVENTS_IN_ANY_PARTITION"),
        ({"MLJOB_API_ALLOW_ANY_FRONT_PROXY_NAME": "perhaps"}, "MLJOB_API_ALLOW_ANY_FRONT_PROXY_NAME"),
        ({"MLJOB_AIRFLOW_URL": "http://airflow"}, "set exactly one of MLJOB_AIRFLOW_TOKEN"),
    ],
)
async def test_wrong_settings_are_named_and_end_the_process(
    installed: Installed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, Any],
    named: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith("mljob-api's settings are wrong:")
    assert named in said


async def test_key_that_does_not_fit_is_named(installed: Installed, capsys: pytest.CaptureFixture[str]) -> None:
    installed.key.write_bytes(trustme.CA().issue_cert("localhost").private_key_pem.bytes())
    assert main() == 2
    assert "the files hold no certificate in PEM with its key" in capsys.readouterr().err
