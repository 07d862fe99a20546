"""The operator uses proxies as Go programs do (golang.org/x/net/http/httpproxy)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import kopf
import pytest
from pydantic import SecretStr

from mljob_operator.adapters.airflow.session import Session
from mljob_operator.adapters.kubernetes import client
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.adapters.proxies import passwords, problems, proxy_for, shown
from mljob_operator.adapters.watch import credentials
from mljob_operator.core.airflow_instance.credentials import Login, OAuth2Client
from mljob_operator.errors import AirflowUnavailable, StoreUnavailable
from tests.fakes.http_proxy import HttpProxy
from tests.fakes.kubernetes_api import KubernetesApi, kubeconfig
from tests.fakes.leases import OpenGate
from tests.live.authority import Authority
from tests.scripted_airflow import ScriptedAirflow

PROXY = "http://proxy.example:3128"
API = "https://172.30.0.1:443"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


DIRECT, PROXIED = None, PROXY


@pytest.mark.parametrize(
    ("no_proxy", "server", "expected"),
    [
        ("", API, PROXIED),
        ("172.30.0.0/16", API, DIRECT),
        ("10.0.0.0/8, 172.30.0.0/16 ,.svc", API, DIRECT),
        ("172.31.0.0/16", API, PROXIED),
        ("172.30.0.1/16", API, DIRECT),
        ("172.30.0.1", API, DIRECT),
        ("172.30.0.1:443", API, DIRECT),
        ("172.30.0.1:443", "https://172.30.0.1", DIRECT),
        ("172.30.0.1:6443", API, PROXIED),
        ("30.0.1", API, PROXIED),
        (".0.1", API, PROXIED),
        ("fd00:10:96::/112", "https://[fd00:10:96::1]:443", DIRECT),
        ("fd00:10:97::/112", "https://[fd00:10:96::1]:443", PROXIED),
        ("fd00:10:96::/112", API, PROXIED),
        ("fd00:10:96::1", "https://[fd00:10:96::1]:443", DIRECT),
        ("[fd00:10:96::1]", "https://[fd00:10:96:0::1]:443", DIRECT),
        ("[fd00:10:96::1]:443", "https://[fd00:10:96::1]", DIRECT),
        ("[fd00:10:96::1]:6443", "https://[fd00:10:96::1]", PROXIED),
        ("172.30.0.0/16", "https://[::ffff:172.30.0.1]", DIRECT),
        ("*", API, DIRECT),
        ("example.com", "https://example.com", DIRECT),
        ("example.com", "https://api.example.com:6443", DIRECT),
        ("EXAMPLE.com", "https://API.example.COM", DIRECT),
        ("example.com", "https://notexample.com", PROXIED),
        (".example.com", "https://api.example.com", DIRECT),
        (".example.com", "https://example.com", PROXIED),
        ("*.example.com", "https://a.b.example.com", DIRECT),
        ("*.example.com", "https://example.com", PROXIED),
        (".svc,.cluster.local", "https://kubernetes.default.svc", DIRECT),
        ("example.com:443", "https://api.example.com", DIRECT),
        ("example.com:443", "https://example.com:6443", PROXIED),
        ("example.com:80", "http://example.com", DIRECT),
        (":443", "https://example.com", PROXIED),
        (".", "https://example.com", PROXIED),
        ("nonsense/64,[,example.org", "https://example.com", PROXIED),
        ("", "https://localhost:6443", DIRECT),
        ("", "https://127.0.0.1:6443", DIRECT),
        ("", "https://[::1]:6443", DIRECT),
    ],
)
def test_no_proxy_is_read_as_client_go_reads_it(no_proxy: str, server: str, expected: str | None) -> None:
    assert proxy_for(server, {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY, "NO_PROXY": no_proxy}) == expected


@pytest.mark.parametrize(
    ("environment", "server", "expected"),
    [
        ({"HTTPS_PROXY": PROXY}, "http://a.example", None),
        ({"HTTP_PROXY": PROXY}, "https://a.example", None),
        ({"HTTP_PROXY": PROXY}, "http://a.example", PROXY),
        ({"https_proxy": PROXY}, "https://a.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "https_proxy": "http://other:1"}, "https://a.example", PROXY),
        ({"HTTPS_PROXY": " proxy.example:3128\n"}, "https://a.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "a.example"}, "https://a.example", None),
        ({"HTTPS_PROXY": ""}, "https://a.example", None),
    ],
)
def test_each_scheme_has_its_own_variable(environment: dict[str, str], server: str, expected: str | None) -> None:
    assert proxy_for(server, environment) == expected


@pytest.mark.parametrize(
    "value", ["socks5://me:s3cret@proxy:1080", "http://", "http://me:s3cret@proxy:port", "http://proxy:0"]
)
def test_error_of_an_invalid_proxy_names_the_variable_and_not_the_password(value: str) -> None:
    (problem,) = problems({"HTTPS_PROXY": value})
    assert problem == "HTTPS_PROXY: is not the URL of an HTTP proxy such as http://proxy.example.com:3128"


def test_messages_show_a_proxy_without_its_user_and_password() -> None:
    assert shown("http://me:s3cret@proxy.example:3128") == PROXY
    assert shown("http://me:s3cret@[fd00::1]:3128") == "http://[fd00::1]:3128"
    assert passwords({"HTTPS_PROXY": "http://me:s%20cret@proxy"}) == {"s%20cret", "s cret"}


@pytest.fixture
def trusted(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A TLS context for the server kubernetes.default.svc, and the path of the CA certificate."""
    authority = Authority()
    return authority.server("kubernetes.default.svc"), authority.write_certificate(tmp_path / "ca.crt")


@pytest.fixture
def airflow() -> Iterator[ScriptedAirflow]:
    server = ScriptedAirflow()
    yield server
    server.close()


def session(url: str) -> Session:
    return Session(url, Login(user="mljob", password=SecretStr("right")), ca_file=None, ca_bundle=None, gate=OpenGate())


def test_requests_to_airflow_use_the_proxy_unless_no_proxy_excludes_it(
    airflow: ScriptedAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HttpProxy({"airflow.example:8080": int(airflow.url.rpartition(":")[2])}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        session("http://airflow.example:8080").assert_backfills()
        assert set(proxy.asked) == {"airflow.example:8080"}
        proxy.asked.clear()
        session(airflow.url).assert_backfills()
        assert proxy.asked == []


def test_token_endpoint_may_use_the_proxy_while_airflow_does_not(
    airflow: ScriptedAirflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = OAuth2Client("mljob", SecretStr("s"), "http://login.example/token")
    with HttpProxy({}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(AirflowUnavailable):
            Session(airflow.url, Login(oauth2=client), ca_file=None, ca_bundle=None, gate=OpenGate()).assert_backfills()
    assert proxy.asked == ["login.example"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_error_of_an_unreachable_airflow_names_the_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    with HttpProxy({}) as proxy:
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url)
    with pytest.raises(AirflowUnavailable) as refused:
        session(f"{scheme}://airflow.example").assert_backfills()
    told = f"Airflow at {scheme}://airflow.example can't be reached through the proxy http://{proxy.address}: "
    assert str(refused.value).startswith(told)
    assert not refused.value.outcome_unknown


@pytest.mark.parametrize(
    ("login", "routed", "told"),
    [
        (True, True, None),
        (True, False, "the proxy answered 502 Bad Gateway"),
        (False, True, "the proxy answered 407 Proxy Authentication Required"),
    ],
    ids=["reached", "not reached", "not let in"],
)
async def test_requests_to_the_kubernetes_api_use_the_proxy_and_errors_name_it(
    trusted: tuple[ssl.SSLContext, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    login: bool,
    routed: bool,
    told: str | None,
) -> None:
    context, authority = trusted
    with (
        KubernetesApi(tls=context) as api,
        HttpProxy({"kubernetes.default.svc:6443": api.port} if routed else {}) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url if login else f"http://me:wr0ng@{proxy.address}")
        config = kubeconfig(tmp_path / "config", "https://kubernetes.default.svc:6443", authority=authority)
        monkeypatch.setenv("KUBECONFIG", str(config))
        async with await connect() as client:
            if told is None:
                assert [job async for job in Jobs(client).list()] == []
                assert set(proxy.asked) == {"kubernetes.default.svc:6443"}
                return
            with pytest.raises(StoreUnavailable) as refused:
                await anext(aiter(Jobs(client).list()))
    assert str(refused.value) == (
        f"the Kubernetes API did not answer through the proxy http://{proxy.address} (HTTPS_PROXY, HTTP_PROXY, NO_PROXY): {told}"
    )


@pytest.mark.parametrize("host", ["172.30.0.1", "fd00:10:96::1"])
async def test_in_a_pod_the_watch_uses_the_same_address_as_every_other_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str
) -> None:
    # kopf's own login returns kubernetes.default.svc. Many NO_PROXY lists lack this name.
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(client, "SERVICE_ACCOUNT", tmp_path)
    mounted = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: mounted)

    info = credentials()

    assert info is not None
    assert info.server == f"https://{f'[{host}]' if ':' in host else host}:443"
    assert info.token == "t"
