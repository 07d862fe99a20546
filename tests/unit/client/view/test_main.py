"""The environment variables that configure the view."""

from __future__ import annotations

from pathlib import Path

import pytest

from mljob.view import __main__ as view


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Set environment variables as the view's container in a cluster has them. Return the
    MonkeyPatch, with which a test can change them.
    """
    ca = tmp_path / "ca.crt"
    ca.write_text("certificate")
    for name, value in {
        "KUBERNETES_SERVICE_HOST": "fd00::1",
        "KUBERNETES_SERVICE_PORT": "443",
        "MLJOB_VIEW_CA_FILE": str(ca),
        "MLJOB_VIEW_HOSTS": "mljobs.example.com, Jobs:8443",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_view_reaches_the_api_server_without_a_token(pod: pytest.MonkeyPatch) -> None:
    config = view._cluster()

    assert config.server == "https://[fd00::1]:443"
    assert config.ca == b"certificate"
    assert (config.user.token, config.user.token_file) == (None, None)
    assert view._hosts() == {"mljobs.example.com", "jobs:8443"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MLJOB_VIEW_HOSTS", " , ", "MLJOB_VIEW_HOSTS is empty"),
        ("MLJOB_VIEW_PORT", "http", "'http' is not a port"),
        ("MLJOB_VIEW_PORT", "70000", "'70000' is not a port"),
        ("MLJOB_VIEW_CA_FILE", "nowhere/ca.crt", "kube-root-ca.crt"),
        ("KUBERNETES_SERVICE_HOST", "", "kubectl mljob ui"),
    ],
)
def test_wrong_setting_is_told_with_its_name(
    pod: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, words: str
) -> None:
    pod.setenv(name, value)

    assert view.main() == 2
    assert words in capsys.readouterr().err
