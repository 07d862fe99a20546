"""The users of a kubeconfig: client certificates, tokens, passwords and exec plugins.

A relative path in a kubeconfig starts at the folder of the kubeconfig.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .errors import ConfigError

MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024
"""The maximum size of a kubeconfig file, in bytes: hundreds of clusters fit."""


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A command that prints credentials: ``users[].user.exec``.

    Attributes:
        interactive: The field ``interactiveMode``. ``Never``: The command does not use the
            terminal. ``IfAvailable``: The command uses the terminal if there is a terminal.
            ``Always``: The command needs a terminal.
        provide_cluster_info: Whether the command gets the API server's URL and certificate
            authority, in the environment variable ``KUBERNETES_EXEC_INFO``.
    """

    command: str
    args: tuple[str, ...] = field(repr=False)
    env: tuple[tuple[str, str], ...] = field(repr=False)
    api_version: str
    interactive: str
    provide_cluster_info: bool
    install_hint: str


@dataclass(frozen=True, slots=True)
class User:
    """The credentials of a user in a kubeconfig, and the headers that impersonate another user.
    ``repr`` leaves out the client certificate, the key, the token and the password.
    """

    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    plugin: ExecPlugin | None = None
    impersonate: tuple[tuple[str, str], ...] = ()


def read_user(path: Path, user: Mapping[str, Any]) -> User:
    """Return a user of the kubeconfig at ``path``. ``user`` is the user's field ``users[].user``.
    The token file is not read.

    Raises:
        ConfigError: The field ``users[].user`` can't be used, or the file with the client
            certificate or with the client's key can't be read.
    """
    if user.get("auth-provider"):
        raise ConfigError(
            f"{path}: users: auth-provider was removed from Kubernetes 1.26. Use the exec plugin of the cloud provider."
        )
    token_file = text_of(user, "tokenFile")
    certificate, key = data_or_file(path, user, "client-certificate"), data_or_file(path, user, "client-key")
    if (certificate is None) != (key is None):
        raise ConfigError(f"{path}: users: client-certificate and client-key must be set together.")
    return User(
        certificate=certificate,
        key=key,
        token=text_of(user, "token"),
        token_file=path.parent / token_file if token_file else None,
        username=text_of(user, "username"),
        password=text_of(user, "password"),
        plugin=_plugin(path, user.get("exec")),
        impersonate=tuple(_impersonation(user)),
    )


def _impersonation(user: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for key, header in (("as", "Impersonate-User"), ("as-uid", "Impersonate-Uid")):
        if value := text_of(user, key):
            yield header, value
    for group in _listed(user.get("as-groups")):
        yield "Impersonate-Group", str(group)
    extra = user.get("as-user-extra")
    for key, values in extra.items() if isinstance(extra, dict) else ():
        for value in _listed(values):
            yield f"Impersonate-Extra-{quote(str(key).lower(), safe='')}", str(value)


def _plugin(path: Path, given: Any) -> ExecPlugin | None:
    if not isinstance(given, dict):
        return None
    command = text_of(given, "command")
    if not command:
        raise ConfigError(f"{path}: users: exec: command is missing.")
    # As in kubectl, a command with a slash is relative to the kubeconfig, and any other is looked
    # up on PATH.
    if "/" in command:
        command = str(path.parent / command)
    args, env = _listed(given.get("args")), _listed(given.get("env"))
    return ExecPlugin(
        command=command,
        args=tuple(str(arg) for arg in args),
        env=tuple((str(entry.get("name")), str(entry.get("value"))) for entry in env if isinstance(entry, dict)),
        api_version=text_of(given, "apiVersion") or "",
        interactive=text_of(given, "interactiveMode") or "IfAvailable",
        provide_cluster_info=given.get("provideClusterInfo") is True,
        install_hint=text_of(given, "installHint") or "",
    )


def data_or_file(path: Path, entry: Mapping[str, Any], key: str) -> bytes | None:
    """Return the data of the field ``<key>-data``, decoded from base64. Without this field, return
    the content of the file that the field ``<key>`` names. If both fields are missing, return None.

    Raises:
        ConfigError: The data is not base64, or the file can't be read or is too large.
    """
    if data := text_of(entry, f"{key}-data"):
        try:
            return base64.b64decode(data, validate=False)
        except (binascii.Error, ValueError):
            raise ConfigError(f"{path}: {key}-data is not base64.") from None
    file = text_of(entry, key)
    return read_bytes(path.parent / file) if file else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def text_of(entry: Mapping[str, Any], key: str) -> str | None:
    """Return the field ``key`` of an entry, or None if the field is missing, empty or not a text."""
    value = entry.get(key)
    return value if isinstance(value, str) and value else None


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        ConfigError: The file can't be read, or is larger than :data:`MAX_CONFIG_BYTES` bytes.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}. The kubeconfig names this file.") from None
    if len(content) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{path}: the file is larger than {MAX_CONFIG_BYTES} bytes.")
    return content
