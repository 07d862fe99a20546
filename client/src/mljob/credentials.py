"""Obtains credentials as the kubeconfig says: from the kubeconfig itself, from a token file, or
from an exec plugin. An exec plugin is a command that prints credentials.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final

from .errors import ConfigError, PluginFailed
from .kubeconfig import ClusterConfig
from .kubeconfig_user import ExecPlugin
from .text import plain

EXEC_API_VERSIONS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
"""The API versions of the JSON object ``ExecCredential`` that exec plugins print."""
PLUGIN_SECONDS: Final = 60.0
"""The maximum run time of a plugin that can't ask the person, in seconds."""
INTERACTIVE_SECONDS: Final = 600.0
"""The maximum run time of a plugin that can ask the person, for example for a login in a browser,
in seconds.
"""
MAX_ANSWER_BYTES: Final = 1024 * 1024
"""The maximum size of a plugin's answer, in bytes."""
_TOKEN_FILE_SECONDS: Final = 10.0
"""How long a token from a file is used before the file is read again, as in client-go."""
_EARLY: Final = timedelta(seconds=10)
"""Credentials are renewed this long before they expire."""


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a request: HTTP headers, a client certificate, both or neither.

    Attributes:
        headers: Pairs of the name and the value of an HTTP header: ``Authorization`` for a token or
            a password, and the headers that impersonate another user.
        certificate: The client certificate as PEM, or None.
        key: The certificate's private key as PEM, or None.
    """

    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)


class Credentials:
    """Obtains the credentials of a kubeconfig's user. :meth:`current` renews credentials that expire
    within 10 seconds. Several threads may share one object.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._kept: Credential | None = None
        self._renew_at: float | None = None
        self._expires: datetime | None = None

    @property
    def may_block(self) -> bool:
        """Whether a call of :meth:`current` can block now, because the kubeconfig names an exec
        plugin or a token file, and no earlier credential can be used again.
        """
        return (self._config.user.plugin is not None or self._config.user.token_file is not None) and not self._is_fresh

    def current(self) -> Credential:
        """Return the credential for the next request.

        Raises:
            ConfigError: The plugin or the token file can't be used, or the token contains a
                character that no HTTP header may have.
            PluginFailed: The plugin fails or takes too long.
        """
        with self._lock:
            if self._kept is None or not self._is_fresh:
                self._kept = self._obtain()
            return self._kept

    def refuse(self, credential: Credential) -> bool:
        """Forget a credential that the API server refused. Return whether :meth:`current` may
        return another credential.
        """
        with self._lock:
            if self._kept is credential:
                self._kept = None
            return self._config.user.plugin is not None or self._config.user.token_file is not None

    @property
    def _is_fresh(self) -> bool:
        if self._kept is None or (self._renew_at is not None and monotonic() >= self._renew_at):
            return False
        return self._expires is None or datetime.now(UTC) < self._expires - _EARLY

    def _obtain(self) -> Credential:
        user = self._config.user
        headers = list(user.impersonate)
        certificate, key = user.certificate, user.key
        token = user.token
        # If the plugin fails, nothing may remain that counts as fresh.
        self._kept = self._renew_at = self._expires = None
        if user.token_file is not None:
            try:
                token = user.token_file.read_text(encoding="utf-8", errors="replace")[:MAX_ANSWER_BYTES].strip()
            except OSError as error:
                raise ConfigError(
                    f"{user.token_file}: {error.strerror}. The kubeconfig names this token file."
                ) from None
            self._renew_at = monotonic() + _TOKEN_FILE_SECONDS
        elif user.plugin is not None and token is None and user.username is None:
            answer = run_plugin(user.plugin, self._config)
            token, self._expires = answer.token, answer.expires
            if answer.certificate is not None:
                certificate, key = answer.certificate, answer.key
        if token:
            headers.append(("Authorization", f"Bearer {_header_value(token)}"))
        elif user.username is not None:
            pair = base64.b64encode(f"{user.username}:{user.password or ''}".encode()).decode()
            headers.append(("Authorization", f"Basic {pair}"))
        return Credential(tuple(headers), certificate, key)


def _header_value(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise ConfigError("The token contains a character that no HTTP header may have. Renew the token.")
    return token


@dataclass(frozen=True, slots=True)
class PluginAnswer:
    """The credentials that an exec plugin printed."""

    token: str | None = field(repr=False)
    certificate: bytes | None = field(repr=False)
    key: bytes | None = field(repr=False)
    expires: datetime | None


def run_plugin(plugin: ExecPlugin, config: ClusterConfig) -> PluginAnswer:
    """Run an exec plugin, and return the credentials that it prints.

    Raises:
        ConfigError: The plugin can't run, has an unsupported apiVersion, needs a terminal that is
            missing, or prints no credentials or too much text.
        PluginFailed: The plugin fails or takes too long.
    """
    if plugin.api_version not in EXEC_API_VERSIONS:
        raise ConfigError(
            f"users: exec: apiVersion {plugin.api_version!r} is none of {', '.join(EXEC_API_VERSIONS)}. "
            f"Update the kubeconfig, for example with the tool that wrote it. Command: {plugin.command}."
        )
    interactive = plugin.interactive != "Never" and sys.stdin is not None and sys.stdin.isatty()
    if plugin.interactive == "Always" and not interactive:
        raise ConfigError(
            f"users: exec: {plugin.command} needs a terminal (interactiveMode: Always), and there is none."
        )
    return _read_answer(plugin, _output(plugin, config, interactive))


def _output(plugin: ExecPlugin, config: ClusterConfig, interactive: bool) -> bytes:
    environment = {**os.environ, **dict(plugin.env), "KUBERNETES_EXEC_INFO": _exec_info(plugin, config, interactive)}
    seconds = INTERACTIVE_SECONDS if interactive else PLUGIN_SECONDS
    try:
        process = subprocess.Popen(  # noqa: S603 - the person's kubeconfig names the command
            [plugin.command, *plugin.args],
            env=environment,
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # In a session of its own, it can be ended together with the processes that it starts.
            start_new_session=not interactive,
        )
    except OSError as error:
        hint = f" {plain(plugin.install_hint, 500)}" if plugin.install_hint else ""
        raise ConfigError(f"users: exec: {plugin.command} can't run: {error.strerror}.{hint}") from None
    timer = threading.Timer(seconds, _kill, [process, not interactive])
    timer.daemon = True
    timer.start()
    with process:
        assert process.stdout is not None
        answer = process.stdout.read(MAX_ANSWER_BYTES + 1)
        if len(answer) > MAX_ANSWER_BYTES:
            _kill(process, not interactive)
        process.wait()
    timed_out = timer.finished.is_set()
    timer.cancel()
    if len(answer) > MAX_ANSWER_BYTES:
        raise ConfigError(f"users: exec: {plugin.command} printed more than {MAX_ANSWER_BYTES} bytes.")
    if timed_out:
        raise PluginFailed(f"users: exec: {plugin.command} took longer than {seconds:g} seconds.")
    if process.returncode:
        raise PluginFailed(
            f"users: exec: {plugin.command} ended with {process.returncode}. Run it by hand to see why: it logs you in."
        )
    return answer


def _kill(process: subprocess.Popen[bytes], leads_a_session: bool) -> None:
    with contextlib.suppress(OSError):
        if leads_a_session and hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _exec_info(plugin: ExecPlugin, config: ClusterConfig, interactive: bool) -> str:
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        cluster: dict[str, Any] = {"server": config.server, "insecure-skip-tls-verify": not config.verify}
        if config.ca:
            cluster["certificate-authority-data"] = base64.b64encode(config.ca).decode()
        if config.server_name:
            cluster["tls-server-name"] = config.server_name
        spec["cluster"] = cluster
    return json.dumps({"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec})


def _read_answer(plugin: ExecPlugin, answer: bytes) -> PluginAnswer:
    try:
        parsed = json.loads(answer)
    except (ValueError, RecursionError):
        raise ConfigError(f"users: exec: {plugin.command} did not print an ExecCredential in JSON.") from None
    if not isinstance(parsed, dict) or parsed.get("apiVersion") != plugin.api_version:
        raise ConfigError(f"users: exec: {plugin.command} did not print an ExecCredential of {plugin.api_version}.")
    status = parsed.get("status")
    status = status if isinstance(status, dict) else {}
    token, certificate, key = (
        value if isinstance(value := status.get(name), str) and value else None
        for name in ("token", "clientCertificateData", "clientKeyData")
    )
    if token is None and (certificate is None or key is None):
        raise ConfigError(
            f"users: exec: {plugin.command} printed neither a token nor a client certificate with its key."
        )
    return PluginAnswer(
        token,
        certificate.encode() if certificate else None,
        key.encode() if key else None,
        _expiry(status.get("expirationTimestamp")),
    )


def _expiry(value: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC) if at else None
