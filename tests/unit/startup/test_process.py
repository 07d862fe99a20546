"""The operator's process: its probes and its exit codes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import urllib3

from devstack.ports import HOST, Ports
from mljob_operator.adapters.kubernetes.lists import PAGE
from tests.fakes.http_proxy import HttpProxy
from tests.fakes.kubernetes_api import (
    LIST_VERSION,
    MLJOBS,
    NAMESPACES,
    Answer,
    KubernetesApi,
    Query,
    finished,
    kubeconfig,
    status,
)
from tests.live.authority import Authority
from tests.live.eventually import eventually

WITHIN = 300
WATCHED = 3
"""The number of the operator's watches: one of namespaces, one of MLJobs, and one of
AirflowInstances.
"""

pytestmark = pytest.mark.timeout(900)


class Process:
    def __init__(self, directory: Path, **environment: str) -> None:
        self.port = int(environment.get("MLJOB_HTTP_PORT") or Ports(directory)["operator"])
        self._errors = directory / "operator.log"
        given = {"MLJOB_HTTP_HOST": HOST, "MLJOB_HTTP_PORT": str(self.port), "MLJOB_LOG_FORMAT": "text", **environment}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLJOB_")}
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "mljob_operator"), env=inherited | given, stdout=errors, stderr=errors
            )
        self._http = urllib3.PoolManager(retries=False, timeout=10)

    def answers(self, path: str) -> int:
        assert self._process.poll() is None, self.log
        try:
            return self._http.request("GET", f"http://{HOST}:{self.port}{path}").status
        except urllib3.exceptions.HTTPError:
            return 0

    def metrics(self) -> str:
        return self._http.request("GET", f"http://{HOST}:{self.port}/metrics").data.decode()

    @property
    def log(self) -> str:
        return self._errors.read_text()

    def lines(self, *parts: str) -> list[str]:
        return [line for line in self.log.splitlines() if all(part in line for part in parts)]

    def told_to_end(self) -> int:
        def tell() -> bool:
            self._process.send_signal(signal.SIGTERM)
            return self._process.poll() is not None

        eventually(tell, "the operator ends", within=WITHIN, evidence=lambda: self.log)
        return self._process.returncode

    def exit_code(self) -> int:
        return self._process.wait(WITHIN)

    def end(self) -> None:
        self._http.clear()
        self._process.kill()
        self._process.wait()


@pytest.fixture
def closed_port(tmp_path: Path) -> int:
    """A port on which nothing listens."""
    return Ports(tmp_path)["kubernetes"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(url: str, **environment: str) -> Process:
        config = kubeconfig(tmp_path / "config", url)
        started.append(Process(tmp_path, **{"KUBECONFIG": str(config), **environment}))
        return started[-1]

    yield start
    for process in started:
        process.end()


def test_operator_is_alive_and_not_ready_while_the_kubernetes_api_is_unreachable(
    start: Callable[..., Process], closed_port: int
) -> None:
    operator = start(f"http://{HOST}:{closed_port}")
    first = eventually(lambda: operator.answers("/livez"), "the operator listens", within=WITHIN)
    assert first == 200
    eventually(
        lambda: operator.lines("the Leases of other operators can't be listed"),
        "it says what it waits for",
        within=WITHIN,
    )
    assert operator.answers("/readyz") == 503

    with KubernetesApi(closed_port):
        eventually(
            lambda: operator.answers("/readyz") == 200, "the API is back", within=WITHIN, evidence=lambda: operator.log
        )
        assert len(operator.lines("can't be listed", f"Cannot connect to host {HOST}:{closed_port}")) == 1
        assert operator.told_to_end() == 0
    assert "Traceback" not in operator.log


def test_errors_of_the_kubernetes_api_are_retried_and_logged_once_each(start: Callable[..., Process]) -> None:
    refusals: dict[str, Answer] = {
        "list 401": status(401, "Unauthorized"),
        "list 403": status(403, "namespaces is forbidden"),
        "list 500": (500, "<html>oops</html>"),
        "watch 403": status(403, "watching mljobs is forbidden"),
        "watch 401": status(401, "Unauthorized"),
    }
    stage = ["list 401"]

    def refuse(path: str, query: Query) -> Answer | None:
        what = NAMESPACES if stage[0].startswith("list") else MLJOBS
        return refusals.get(stage[0]) if path == what and ("watch" in query) == stage[0].startswith("watch") else None

    with KubernetesApi() as api:
        api.objects[MLJOBS] = [finished(f"job-{number}") for number in range(PAGE + 1)]
        api.refuse = refuse
        operator = start(api.url)
        for stage[0], told in (
            ("list 401", "Namespaces can't be listed: the Kubernetes API answered 401 Unauthorized: Unauthorized;"),
            (
                "list 403",
                "Namespaces can't be listed: the Kubernetes API answered 403 Forbidden: namespaces is forbidden;",
            ),
            ("list 500", "Namespaces can't be listed: the Kubernetes API answered 500 Internal Server Error;"),
            (
                "watch 403",
                f"{MLJOBS} can't be read: the Kubernetes API answered 403 Forbidden: watching mljobs is forbidden;",
            ),
            ("watch 401", f"{MLJOBS} can't be read: the Kubernetes API answered 401 Unauthorized;"),
        ):
            eventually(partial(operator.lines, told), told, within=WITHIN, evidence=lambda: operator.log)
            assert (operator.answers("/livez"), operator.answers("/readyz")) == (200, 503), operator.log
        asked = len(api.watches)
        eventually(lambda: len(api.watches) > asked + 2, "it tries again", within=WITHIN, evidence=lambda: operator.log)
        assert len(operator.lines("can't be read", "401")) == 1
        assert operator.lines(f"watching MLJobs: {PAGE + 1} there, 0 of them not finished")

        stage[0] = "none"
        eventually(
            lambda: operator.answers("/readyz") == 200, "it is ready", within=WITHIN, evidence=lambda: operator.log
        )
        assert operator.answers("/livez") == 200
        assert all(query["limit"] == str(PAGE) for _, query in api.lists), "kopf's lists as well"
        assert operator.told_to_end() == 0
    assert "Traceback" not in operator.log
    assert "{" not in operator.log


def test_mljobs_are_listed_once_and_again_only_for_a_watch_that_is_too_old(start: Callable[..., Process]) -> None:
    expired: list[Answer] = [(200, '{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}')]
    watches: list[tuple[str, list[str]]] = []
    once = ["", str(PAGE)]

    def pages() -> list[str]:
        return [query.get("continue", "") for path, query in api.lists if path == MLJOBS]

    def refuse(path: str, query: Query) -> Answer | None:
        if path != MLJOBS or "watch" not in query:
            return None
        watches.append((query["resourceVersion"], pages()))
        return expired[0] if expired else None

    with KubernetesApi() as api:
        api.objects[MLJOBS] = [finished(f"job-{number}") for number in range(PAGE + 1)]
        api.refuse = refuse
        operator = start(api.url)
        eventually(lambda: len(watches) > 1, "kopf watches again", within=WITHIN, evidence=lambda: operator.log)
        assert watches[:2] == [(LIST_VERSION, once), (LIST_VERSION, 2 * once)]
        expired.clear()
        eventually(
            lambda: operator.answers("/readyz") == 200, "it is ready", within=WITHIN, evidence=lambda: operator.log
        )
        assert operator.told_to_end() == 0
    assert "Traceback" not in operator.log


def test_operator_runs_as_a_user_without_an_entry_in_passwd(start: Callable[..., Process], tmp_path: Path) -> None:
    # On OpenShift, /etc/passwd has no entry for the UID of the process.
    (tmp_path / "sitecustomize.py").write_text(
        "import pwd\ndef unknown(uid): raise KeyError(f'getpwuid(): uid not found: {uid}')\npwd.getpwuid = unknown\n"
    )
    nameless = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), "")
    with KubernetesApi() as api:
        operator = start(api.url, PYTHONPATH=str(tmp_path), HOME="/", **nameless)
        eventually(
            lambda: operator.answers("/readyz") == 200, "it is ready", within=WITHIN, evidence=lambda: operator.log
        )
        assert operator.told_to_end() == 0


def test_revoked_token_is_logged_with_what_to_check(start: Callable[..., Process]) -> None:
    with KubernetesApi() as api:
        # A shorter Lease might end the watches before the API server has answered all of them.
        operator = start(api.url, MLJOB_LEASE_SECONDS="60")
        eventually(
            lambda: operator.answers("/readyz") == 200, "it is ready", within=WITHIN, evidence=lambda: operator.log
        )
        api.refuse = lambda _path, _query: status(401, "Unauthorized")
        api.cut()
        told = "does not accept the operator's credentials"
        eventually(lambda: operator.lines(told), told, within=WITHIN, evidence=lambda: operator.log)
        assert operator.lines(told, "Check the user and the token in ")
        eventually(
            lambda: len(operator.lines("can't be read")) >= WATCHED,
            "each watch is reported",
            within=WITHIN,
            evidence=lambda: operator.log,
        )
        assert len(operator.lines("can't be read")) == WATCHED, "each watch is reported once"
        assert "{" not in operator.log

        api.refuse = lambda _path, _query: None
        eventually(
            lambda: operator.lines("accepts the operator's credentials again"),
            "a token that counts again",
            within=WITHIN,
            evidence=lambda: operator.log,
        )
        assert operator.told_to_end() == 0
    assert "Traceback" not in operator.log


def test_sigterm_ends_the_operator_while_it_starts(start: Callable[..., Process], closed_port: int) -> None:
    operator = start(f"http://{HOST}:{closed_port}")
    eventually(lambda: operator.lines("can't be listed"), "it waits for the API", within=WITHIN)
    assert operator.told_to_end() == 0
    assert "Traceback" not in operator.log


def test_watch_uses_the_proxy(start: Callable[..., Process], tmp_path: Path) -> None:
    authority = Authority()
    # Only the proxy resolves this host name.
    url = "https://kubernetes.default.svc:6443"
    config = kubeconfig(tmp_path / "proxied", url, authority=authority.write_certificate(tmp_path / "ca.crt"))
    tls = authority.server("kubernetes.default.svc")
    with KubernetesApi(tls=tls) as api, HttpProxy({"kubernetes.default.svc:6443": api.port}) as proxy:
        operator = start(
            url,
            KUBECONFIG=str(config),
            HTTPS_PROXY=proxy.url,
            NO_PROXY="10.0.0.0/8,172.30.0.0/16,.cluster.local",
            MLJOB_LOG_LEVEL="debug",
        )
        eventually(
            lambda: operator.answers("/readyz") == 200, "it is ready", within=WITHIN, evidence=lambda: operator.log
        )
        assert operator.told_to_end() == 0
    assert proxy.PASSWORD not in operator.log


def test_error_of_an_unreachable_proxy_names_it_without_its_password(
    start: Callable[..., Process], closed_port: int
) -> None:
    operator = start("https://kubernetes.default.svc:6443", HTTPS_PROXY=f"http://me:s3cret@{HOST}:{closed_port}")
    told = f"the Kubernetes API did not answer through the proxy http://{HOST}:{closed_port} "
    eventually(lambda: operator.lines(told), told, within=WITHIN, evidence=lambda: operator.log)
    assert "s3cret" not in operator.log


def test_invalid_proxy_ends_the_operator_with_an_error_message(start: Callable[..., Process], closed_port: int) -> None:
    operator = start(f"http://{HOST}:{closed_port}", HTTPS_PROXY=f"socks5://me:s3cret@{HOST}:{closed_port}")
    assert operator.exit_code() == 2
    assert operator.lines("HTTPS_PROXY: is not the URL of an HTTP proxy")
    assert "s3cret" not in operator.log


def test_port_in_use_ends_the_operator_with_an_error_message(start: Callable[..., Process], closed_port: int) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        operator = start(f"http://{HOST}:{closed_port}", MLJOB_HTTP_PORT=str(port))
        assert operator.exit_code() == 2
    assert operator.lines("the operator can't start: MLJOB_HTTP_PORT", f"another process listens on port {port}")
    assert "Traceback" not in operator.log


def test_missing_kubeconfig_ends_the_operator_with_an_error_message(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    operator = start("http://nowhere", KUBECONFIG=str(tmp_path / "nothing"))
    assert operator.exit_code() == 2
    assert operator.lines("the operator can't start: KUBECONFIG", str(tmp_path / "nothing"))
    assert "Traceback" not in operator.log


def test_unreachable_brokers_show_in_a_metric_and_the_operator_is_ready(
    start: Callable[..., Process], closed_port: int, tmp_path: Path
) -> None:
    brokers = f"{HOST}:{Ports(tmp_path)['kafka']}"
    with KubernetesApi() as api:
        operator = start(
            api.url,
            MLJOB_AIRFLOW_URL=f"http://{HOST}:{closed_port}",
            MLJOB_AIRFLOW_TOKEN="t",
            MLJOB_KAFKA_BOOTSTRAP_SERVERS=brokers,
        )
        eventually(
            lambda: operator.answers("/readyz") == 200, "it is ready", within=WITHIN, evidence=lambda: operator.log
        )
        eventually(
            lambda: 'mljob_kafka_connected{topic="airflow.events"} 0.0' in operator.metrics(),
            "the metric says so",
            within=WITHIN,
            evidence=lambda: operator.log,
        )
        eventually(lambda: operator.lines("Kafka:"), "the log says so", within=WITHIN, evidence=lambda: operator.log)
        assert len(operator.lines(f"Kafka: the brokers {brokers} have not been connected", "Connection refused")) == 1
        assert len(operator.lines("rdkafka")) == 0
        assert operator.told_to_end() == 0
    assert "Traceback" not in operator.log
