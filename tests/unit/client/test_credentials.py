from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mljob import Client, Job, errors
from mljob.changes import Outage
from mljob.credentials import Credentials
from mljob.errors import ConfigError
from mljob.kubeconfig import ClusterConfig
from mljob.kubeconfig_user import ExecPlugin, User
from mljob.sync.transport import Transport
from mljob_contract.run_api import LOG_POSITION
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster, refusal
from tests.live.authority import Authority
from tests.unit.client.statuses import running, succeeded

V1 = "client.authentication.k8s.io/v1"
PATH = "/apis/mljob.dev/v1alpha1/namespaces/team-a/mljobs"


def plugin(script: str, **fields: object) -> ExecPlugin:
    whole: dict[str, object] = {
        "command": sys.executable,
        "args": ("-c", script),
        "env": (),
        "api_version": V1,
        "interactive": "Never",
        "provide_cluster_info": False,
        "install_hint": "",
    }
    return ExecPlugin(**(whole | fields))  # type: ignore[arg-type]


def printing(status: object, **fields: object) -> ExecPlugin:
    answer = json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": status})
    return plugin(f"print({answer!r})", **fields)


def credentials(user: User) -> Credentials:
    return Credentials(ClusterConfig("https://k8s", user=user, ca=b"ca"))


def bearer(found: Credentials) -> str:
    return dict(found.current().headers)["Authorization"]


def counting(folder: Path, expires: str | None = None) -> ExecPlugin:
    """Return an exec plugin that prints token-1 in its first run, token-2 in its second run, and so
    on. The file ``runs`` in ``folder`` contains the number of runs.
    """
    script = f"""
import json, pathlib
runs = pathlib.Path({str(folder / "runs")!r})
number = int(runs.read_text()) + 1 if runs.exists() else 1
runs.write_text(str(number))
status = {{"token": f"token-{{number}}"}} | ({{"expirationTimestamp": {expires!r}}} if {expires!r} else {{}})
print(json.dumps({{"apiVersion": {V1!r}, "status": status}}))
"""
    return plugin(script)


def test_plugin_is_run_once_and_its_token_kept(tmp_path: Path) -> None:
    found = credentials(User(plugin=counting(tmp_path, "2999-01-01T00:00:00Z")))

    assert [bearer(found), bearer(found)] == ["Bearer token-1", "Bearer token-1"]


def test_expired_token_is_renewed(tmp_path: Path) -> None:
    found = credentials(User(plugin=counting(tmp_path, "2020-01-01T00:00:00Z")))

    assert [bearer(found), bearer(found)] == ["Bearer token-1", "Bearer token-2"]


def test_refused_token_is_renewed_once(cluster: MLJobCluster, tmp_path: Path) -> None:
    cluster.interfere = lambda asked: refusal(401) if asked.headers["Authorization"] == "Bearer token-1" else None
    with Transport(ClusterConfig(cluster.url, user=User(plugin=counting(tmp_path)))) as transport:
        transport.request("GET", PATH)
        assert [asked.headers["Authorization"] for asked in cluster.asked] == ["Bearer token-1", "Bearer token-2"]

        cluster.interfere = lambda _: refusal(401)
        with pytest.raises(errors.NotAuthenticated):
            transport.request("GET", PATH)
    assert len(cluster.asked) == 4


def test_static_token_that_is_refused_is_not_tried_twice(cluster: MLJobCluster) -> None:
    cluster.interfere = lambda _: refusal(401)

    config = ClusterConfig(cluster.url, user=User(token="t"))
    with Transport(config) as transport, pytest.raises(errors.NotAuthenticated):
        transport.request("GET", PATH)
    assert len(cluster.asked) == 1


def test_plugin_learns_the_cluster_if_it_asks_for_it() -> None:
    script = f"""
import json, os
spec = json.loads(os.environ["KUBERNETES_EXEC_INFO"])["spec"]
print(json.dumps({{"apiVersion": {V1!r}, "status": {{"token": spec.get("cluster", {{}}).get("server", "none") + os.environ["EXTRA"]}}}}))
"""
    env = (("EXTRA", "!"),)

    assert bearer(credentials(User(plugin=plugin(script, env=env)))) == "Bearer none!"
    told = plugin(script, env=env, provide_cluster_info=True)
    assert bearer(credentials(User(plugin=told))) == "Bearer https://k8s!"


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (plugin("print('hello')"), "did not print an ExecCredential in JSON"),
        (plugin("print('[' * 100000)"), "did not print an ExecCredential in JSON"),
        (plugin("print('[]')"), f"ExecCredential of {V1}"),
        (plugin("raise SystemExit(3)"), "ended with 3"),
        (printing({}), "neither a token nor a client certificate"),
        (printing({"token": 7}), "neither a token"),
        (printing({"clientCertificateData": "x"}), "neither a token"),
        (printing({"token": "a\nb"}), "no HTTP header may have"),
        (printing({"token": "ä"}), "no HTTP header may have"),
        (printing({}, api_version="client.authentication.k8s.io/v1alpha1"), "v1alpha1' is none of"),
        (printing({}, interactive="Always"), "needs a terminal"),
        (
            printing({}, command="/no/such/plugin", install_hint="Install\x1b[2J it."),
            r"can't run: No such file.*\. Install it\.",
        ),
    ],
)
def test_plugin_that_gives_no_credentials_is_named(bad: ExecPlugin, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        credentials(User(plugin=bad)).current()


def failing_once(folder: Path) -> ExecPlugin:
    """Return an exec plugin that fails once after the file ``away`` was created in ``folder``. The
    plugin prints the token ``before``, and after the failure the token ``after``. The token is
    renewed for each request.
    """
    script = f"""
import json, pathlib, sys
away, token = pathlib.Path({str(folder / "away")!r}), pathlib.Path({str(folder / "token")!r})
if away.exists():
    away.unlink()
    token.write_text("after")
    sys.exit(1)
status = {{
    "token": token.read_text() if token.exists() else "before", "expirationTimestamp": "2000-01-01T00:00:00Z"
}}
print(json.dumps({{"apiVersion": {V1!r}, "status": status}}))
"""
    return plugin(script)


def tokens_sent(cluster: MLJobCluster) -> list[str]:
    return [asked.headers["Authorization"].removeprefix("Bearer ") for asked in cluster.asked]


def test_expired_token_is_not_used_after_the_plugin_has_failed(tmp_path: Path) -> None:
    found = credentials(User(plugin=failing_once(tmp_path)))
    assert bearer(found) == "Bearer before"
    (tmp_path / "away").touch()

    with pytest.raises(errors.PluginFailed):
        found.current()

    assert found.may_block
    assert bearer(found) == "Bearer after"


@pytest.fixture
def watched_job(cluster: MLJobCluster, tmp_path: Path, quick_retries: None) -> Iterator[Job]:
    cluster.put("train", status=running())
    user = User(plugin=failing_once(tmp_path))
    with Transport(ClusterConfig(cluster.url, namespace="team-a", user=user)) as transport:
        yield Client(transport=transport).get("train")


def test_wait_goes_on_after_an_outage_in_which_the_plugin_failed(
    cluster: MLJobCluster, watched_job: Job, tmp_path: Path
) -> None:
    def go_away(asked: Asked) -> Answer | None:
        if not asked.query.get("watch") or cluster.count("watch") > 1:
            return None
        cluster.put("train", status=succeeded())
        (tmp_path / "away").touch()
        return Answer()

    cluster.interfere = go_away
    outages: list[Outage | None] = []
    states = list(watched_job.stream(30, on_outage=outages.append))

    assert states[-1].phase == "Succeeded"
    assert outages[0] is not None
    assert "ended with 1" in outages[0].cause
    assert outages[-1] is None
    assert tokens_sent(cluster)[-1] == "after"


def test_outage_is_told_again_when_the_plugin_fails(cluster: MLJobCluster, watched_job: Job, tmp_path: Path) -> None:
    def go_away(asked: Asked) -> Answer | None:
        if not asked.query.get("watch") or cluster.count("watch") > 2:
            return None
        if cluster.count("watch") == 2:
            cluster.put("train", status=succeeded())
            (tmp_path / "away").touch()
        return refusal(503)

    cluster.interfere = go_away
    outages: list[Outage | None] = []
    list(watched_job.stream(30, on_outage=outages.append))

    first, second, end = outages
    assert first is not None
    assert second is not None
    assert not first.lacks_credentials
    assert second.lacks_credentials
    assert "ended with 1" in second.cause
    assert second.since == first.since
    assert end is None


def test_followed_log_goes_on_after_an_outage_in_which_the_plugin_failed(
    cluster: MLJobCluster, watched_job: Job, tmp_path: Path
) -> None:
    begin = f"{LOG_POSITION}1/fit/-1/1/0\none\n".encode()
    answers = iter([Answer(200, begin, then_cut=True), Answer(200, b"two\n")])
    cluster.runs["team-a/train/log"] = lambda _: next(answers)

    lines = watched_job.logs(follow=True)

    assert next(lines) == "one"
    (tmp_path / "away").touch()
    assert list(lines) == ["two"]
    assert tokens_sent(cluster)[-1] == "after"


def test_plugin_that_fails_before_the_first_line_is_an_error_at_once(
    cluster: MLJobCluster, watched_job: Job, tmp_path: Path
) -> None:
    cluster.runs["team-a/train/log"] = lambda _: Answer(200, b"one\n")
    (tmp_path / "away").touch()

    with pytest.raises(errors.PluginFailed, match="ended with 1"):
        next(watched_job.logs(follow=True))


def test_plugin_that_fails_before_the_first_list_is_an_error_at_once(watched_job: Job, tmp_path: Path) -> None:
    (tmp_path / "away").touch()

    with pytest.raises(ConfigError, match="ended with 1"):
        watched_job.wait(timeout=30)


def test_plugin_that_prints_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mljob.credentials.MAX_ANSWER_BYTES", 10_000)

    with pytest.raises(ConfigError, match="printed more than 10000 bytes"):
        credentials(User(plugin=plugin("while True: print('x' * 1000)"))).current()


def test_plugin_that_hangs_is_ended_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mljob.credentials.PLUGIN_SECONDS", 0.5)
    # The child holds the plugin's output open. If only the plugin were ended, the read would wait an hour.
    script = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(3600)'])"

    with pytest.raises(ConfigError, match=r"took longer than 0\.5 seconds"):
        credentials(User(plugin=plugin(script))).current()


def test_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    found = credentials(User(token="static", token_file=file))
    assert bearer(found) == "Bearer one"

    file.write_text("two\n")
    assert bearer(found) == "Bearer one"
    monkeypatch.setattr("mljob.credentials._TOKEN_FILE_SECONDS", 0.0)
    found = credentials(User(token_file=file))
    bearer(found)
    file.write_text("three\n")
    assert bearer(found) == "Bearer three"


def test_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="token: No such file"):
        credentials(User(token_file=tmp_path / "token")).current()


def test_password_is_sent_as_basic_authentication() -> None:
    assert bearer(credentials(User(username="anna", password="geheim"))) == "Basic YW5uYTpnZWhlaW0="


def test_client_certificate_and_authority_of_the_kubeconfig_are_used(tmp_path: Path) -> None:
    authority = Authority()
    tls = authority.server("localhost", "127.0.0.1")
    tls.verify_mode = ssl.CERT_REQUIRED
    authority.write_certificate(tmp_path / "ca.crt")
    tls.load_verify_locations(tmp_path / "ca.crt")
    certificate, key = authority.client("anna")
    ca = (tmp_path / "ca.crt").read_bytes()

    with MLJobCluster(tls) as cluster:
        user = User(certificate=certificate, key=key)
        with Transport(ClusterConfig(cluster.url, user=user, ca=ca)) as transport:
            assert Client(transport=transport).list_jobs() == []
        for config in (ClusterConfig(cluster.url, ca=ca), ClusterConfig(cluster.url, user=user)):
            with Transport(config) as transport, pytest.raises(errors.Unavailable, match="no answer from"):
                transport.request("GET", PATH, tries=1)


def test_name_of_the_server_can_be_another_one(tmp_path: Path) -> None:
    authority = Authority()
    ca = authority.write_certificate(tmp_path / "ca.crt").read_bytes()

    with MLJobCluster(authority.server("kubernetes.example")) as cluster:
        with Transport(ClusterConfig(cluster.url, ca=ca, server_name="kubernetes.example")) as transport:
            assert Client(transport=transport).list_jobs() == []
        with Transport(ClusterConfig(cluster.url, verify=False)) as transport:
            assert Client(transport=transport).list_jobs() == []
        with (
            Transport(ClusterConfig(cluster.url, ca=ca, server_name="other.example")) as transport,
            pytest.raises(errors.Unavailable, match="certificate-authority-data"),
        ):
            transport.request("GET", PATH, tries=1)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (ClusterConfig("https://k8s", ca=b"nonsense"), "no certificate in PEM"),
        (ClusterConfig("https://k8s", user=User(certificate=b"a", key=b"b")), "not a pair in PEM"),
    ],
)
def test_certificates_that_are_none_are_told(config: ClusterConfig, says: str) -> None:
    with Transport(config) as transport, pytest.raises(ConfigError, match=says):
        transport.request("GET", PATH)
