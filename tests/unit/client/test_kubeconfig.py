from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mljob.errors import ConfigError
from mljob.kubeconfig import contexts, in_cluster, load

Config = dict[str, Any]


def config(**changes: Any) -> Config:
    return {
        "current-context": "dev",
        "clusters": [{"name": "dev-cluster", "cluster": {"server": "https://10.0.0.1:6443/"}}],
        "users": [{"name": "anna", "user": {"token": "t"}}],
        "contexts": [{"name": "dev", "context": {"cluster": "dev-cluster", "user": "anna", "namespace": "team-a"}}],
        **changes,
    }


def user(**fields: Any) -> Config:
    return config(users=[{"name": "anna", "user": fields}])


def cluster(**fields: Any) -> Config:
    return config(clusters=[{"name": "dev-cluster", "cluster": {"server": "https://10.0.0.1:6443", **fields}}])


@pytest.fixture(autouse=True)
def no_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)


def write(tmp_path: Path, content: Config | str, name: str = "config") -> Path:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def test_current_context_says_cluster_user_and_namespace(tmp_path: Path) -> None:
    found = load(write(tmp_path, config()))

    assert (found.server, found.namespace, found.context) == ("https://10.0.0.1:6443", "team-a", "dev")
    assert found.user.token == "t"
    assert found.verify


def test_namespace_and_context_can_be_chosen(tmp_path: Path) -> None:
    other = {"name": "prod", "context": {"cluster": "dev-cluster"}}
    file = write(tmp_path, config(contexts=[*config()["contexts"], other]))

    assert load(file, "prod").namespace == "default"
    assert load(file, "prod").user.token is None
    assert load(file, None, "team-b").namespace == "team-b"
    assert contexts(file) == ["dev", "prod"]


def test_file_in_the_home_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path, config(), "home/.kube/config")

    assert load().context == "dev"


def test_files_of_the_variable_are_merged_and_the_first_value_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(
        tmp_path, {"current-context": "dev", "users": [{"name": "anna", "user": {"token": "first"}}]}, "first"
    )
    second = write(tmp_path, config(**{"current-context": "other"}), "second")
    monkeypatch.setenv("KUBECONFIG", f"{first}:{tmp_path / 'missing'}::{second}")

    found = load()

    assert (found.context, found.user.token) == ("dev", "first")


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(b"ca")
    (tmp_path / "my.crt").write_bytes(b"certificate")
    fields = {
        "client-certificate": "my.crt",
        "client-key-data": base64.b64encode(b"key").decode(),
        "tokenFile": "token",
    }
    content = user(**fields)
    content["clusters"] = cluster(**{"certificate-authority": "ca.crt"})["clusters"]

    found = load(write(tmp_path, content))

    assert (found.ca, found.user.certificate, found.user.key) == (b"ca", b"certificate", b"key")
    assert found.user.token_file == tmp_path / "token"


def test_data_wins_over_a_file(tmp_path: Path) -> None:
    fields = {"certificate-authority": "missing", "certificate-authority-data": base64.b64encode(b"data").decode()}

    assert load(write(tmp_path, cluster(**fields))).ca == b"data"


def test_options_of_the_connection_are_read(tmp_path: Path) -> None:
    fields = {"insecure-skip-tls-verify": True, "tls-server-name": "k8s", "proxy-url": "http://proxy:3128"}

    found = load(write(tmp_path, cluster(**fields)))

    assert (found.verify, found.server_name, found.proxy) == (False, "k8s", "http://proxy:3128")


def test_impersonation_is_read(tmp_path: Path) -> None:
    fields = {"as": "Jörg", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"Scopes/x": ["y"]}}

    found = load(write(tmp_path, user(**fields)))

    assert found.user.impersonate == (
        ("Impersonate-User", "Jörg"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-scopes%2Fx", "y"),
    )


@pytest.mark.parametrize(
    ("command", "expected"), [("gke-auth", "gke-auth"), ("./bin/auth", "bin/auth"), ("/bin/auth", "/bin/auth")]
)
def test_plugin_with_a_slash_is_relative_to_the_kubeconfig(tmp_path: Path, command: str, expected: str) -> None:
    exec_ = {"command": command, "args": ["a", 1], "env": [{"name": "A", "value": "b"}], "apiVersion": "x/v1"}

    plugin = load(write(tmp_path, user(exec=exec_))).user.plugin

    assert plugin is not None
    assert Path(plugin.command) == (tmp_path / expected if "/" in command else Path(expected))
    assert (plugin.args, plugin.env, plugin.interactive) == (("a", "1"), (("A", "b"),), "IfAvailable")


def test_pod_uses_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {"token": "t", "namespace": "team-a\n", "ca.crt": "ca"}.items():
        write(tmp_path, content, f"account/{name}")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr("mljob.kubeconfig.in_cluster", lambda namespace: in_cluster(namespace, tmp_path / "account"))

    found = load()

    assert (found.server, found.namespace, found.ca) == ("https://[fd00::1]:443", "team-a", b"ca")
    assert found.user.token_file == tmp_path / "account" / "token"
    assert in_cluster(None, tmp_path / "no-account") is None


BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("a: b: c", "line 1: the kubeconfig is not YAML"),
        ("- a", "not a YAML object"),
        ("{" * 5_000, "not YAML"),
        ("[" * 100_000, "not YAML"),
        ("!!python/object/apply:os.system [true]", "not YAML"),
        (BOMB, "not YAML"),
        ("\0", "not YAML"),
        (config(**{"current-context": ""}), "no current context.*use-context"),
        (config(contexts=[]), "no entry 'dev' in contexts; there are: none"),
        (config(clusters=[]), "no entry 'dev-cluster' in clusters.*context 'dev'"),
        (config(users=[{"name": "berta"}]), "no entry 'anna' in users; there are: berta"),
        (config(contexts=7, users="x"), "no entry 'dev'"),
        (cluster(server="10.0.0.1"), "'10.0.0.1' is not a URL"),
        (cluster(server="file:///etc/passwd"), "is not a URL"),
        (cluster(server="https://["), "is not a URL"),
        (cluster(server="https://k8s:99999"), "is not a URL"),
        (cluster(**{"proxy-url": "http://me:hush@["}), "proxy-url: '\\[' is not a URL"),
        (cluster(**{"certificate-authority": "missing.crt"}), r"missing\.crt: No such file"),
        (cluster(**{"certificate-authority-data": "ä"}), "certificate-authority-data is not base64"),
        (user(**{"client-certificate-data": "YQ=="}), "must be set together"),
        (user(**{"auth-provider": {"name": "gcp"}}), "exec plugin"),
        (user(exec={"args": []}), "command is missing"),
    ],
)
def test_unusable_kubeconfig_is_told_with_its_file(tmp_path: Path, content: Config | str, says: str) -> None:
    file = write(tmp_path, content)

    with pytest.raises(ConfigError, match=says) as raised:
        load(file)

    assert str(tmp_path) in str(raised.value)


def test_missing_kubeconfig_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how_to_set = "Set KUBECONFIG, or pass the file: --kubeconfig on the command line, kubeconfig= in Python."
    with pytest.raises(ConfigError) as raised:
        load()
    assert str(raised.value).endswith(f"home/.kube/config. {how_to_set}")
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a{os.pathsep}{tmp_path}/b")
    with pytest.raises(ConfigError) as raised:
        load()
    assert str(raised.value) == f"There is no kubeconfig at {tmp_path}/a or {tmp_path}/b. {how_to_set}"
    with pytest.raises(ConfigError, match="nowhere: the kubeconfig does not exist"):
        load(tmp_path / "nowhere")


def test_huge_kubeconfig_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mljob.kubeconfig_user.MAX_CONFIG_BYTES", 1_000)

    with pytest.raises(ConfigError, match="larger than 1000 bytes"):
        load(write(tmp_path, "#" * 2_000))


def test_endless_list_of_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", ":".join(["x"] * 100))

    with pytest.raises(ConfigError, match="100 files"):
        load()


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    content = user(token="hush-1", username="u", password="hush-2")
    content["clusters"][0]["cluster"]["proxy-url"] = "http://u:hush-3@proxy"

    assert "hush" not in repr(load(write(tmp_path, content)))


def test_arguments_and_environment_of_a_plugin_are_not_printed(tmp_path: Path) -> None:
    exec_ = {
        "command": "login",
        "args": ["--token=hush"],
        "env": [{"name": "A", "value": "hush"}],
        "apiVersion": "x/v1",
    }

    assert "hush" not in repr(load(write(tmp_path, user(exec=exec_))))
