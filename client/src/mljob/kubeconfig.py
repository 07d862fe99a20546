"""Reads the kubeconfig as ``kubectl`` does.

The files of ``KUBECONFIG`` are merged, and the first file that sets a value wins. Without this
variable, the file is ``~/.kube/config``. If none of these files exists, a pod uses its own
ServiceAccount.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from .errors import ConfigError
from .kubeconfig_user import User, data_or_file, read_bytes, read_user, text_of

MAX_DEPTH: Final = 20
"""The maximum depth of a kubeconfig, in objects and lists. The kubeconfigs that kubectl writes have
6.
"""
MAX_FILES: Final = 32
"""The maximum number of files in ``KUBECONFIG``."""
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The folder in which a pod finds the credentials of its ServiceAccount."""


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """The settings with which a client connects to a cluster as a user.

    Attributes:
        server: The URL of the API server, without a slash at its end.
        user: The credentials of the user.
        context: The name of the context. Empty if the pod's ServiceAccount is used.
        namespace: The default namespace.
        ca: The trusted certificate authorities as PEM, or None for the system's authorities.
        verify: Whether the server's certificate is checked.
        server_name: The expected name in the server's certificate. None means the host of the URL.
        proxy: The URL of a proxy. None means the proxy in the environment variables.
    """

    server: str
    user: User = field(default_factory=User)
    context: str = ""
    namespace: str = "default"
    ca: bytes | None = field(default=None, repr=False)
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)


def load(
    kubeconfig: str | os.PathLike[str] | None = None, context: str | None = None, namespace: str | None = None
) -> ClusterConfig:
    """Return the :class:`ClusterConfig` of a context, or of the pod that this process runs in.

    Args:
        kubeconfig: The path of a kubeconfig. Default: the files of ``KUBECONFIG``, else
            ``~/.kube/config``. If none of these default files exists and ``context`` is None, the
            pod's ServiceAccount is used.
        context: The name of a context. Default: the current context.
        namespace: The default namespace. If None, the namespace of the context or of the pod. If
            that namespace is missing, ``default``.

    Raises:
        ConfigError: The kubeconfig does not exist, is invalid, or lacks the context. Or no context
            is given, and the kubeconfig has no current context.
    """
    paths = _paths(kubeconfig)
    parts = [part for path in paths if (part := _read(path)) is not None]
    if not parts:
        if kubeconfig is None and context is None and (pod := in_cluster(namespace)) is not None:
            return pod
        raise ConfigError(
            f"There is no kubeconfig at {' or '.join(str(path) for path in paths)}. Set KUBECONFIG, or pass the file: "
            "--kubeconfig on the command line, kubeconfig= in Python."
        )
    return _Merged(parts).select(context, namespace)


def contexts(kubeconfig: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the names of all contexts in the kubeconfig, for the completion of command lines."""
    parts = [part for path in _paths(kubeconfig) if (part := _read(path)) is not None]
    return list(_Merged(parts).entries("contexts"))


def in_cluster(namespace: str | None = None, directory: Path = SERVICE_ACCOUNT) -> ClusterConfig | None:
    """Return the :class:`ClusterConfig` with the cluster and the ServiceAccount of the pod that
    this process runs in. Return None outside of a pod, and in a pod without a ServiceAccount token.
    """
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port or not (directory / "token").is_file():
        return None
    own = directory / "namespace"
    return ClusterConfig(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        user=User(token_file=directory / "token"),
        namespace=namespace or (read_bytes(own).decode(errors="replace").strip() if own.is_file() else "") or "default",
        ca=read_bytes(directory / "ca.crt"),
    )


def is_loopback(server: str) -> bool:
    """Return whether the host of a URL is a loopback address, is ``localhost``, or ends in
    ``.localhost``.
    """
    host = urlsplit(server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _paths(kubeconfig: str | os.PathLike[str] | None) -> list[Path]:
    if kubeconfig is not None:
        path = Path(kubeconfig).expanduser()
        if not path.exists():
            raise ConfigError(f"{path}: the kubeconfig does not exist.")
        return [path]
    listed = [Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    if len(listed) > MAX_FILES:
        raise ConfigError(f"KUBECONFIG names {len(listed)} files; {MAX_FILES} are allowed.")
    return listed or [Path.home() / ".kube" / "config"]


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    content: Mapping[str, Any]


def _read(path: Path) -> _File | None:
    import yaml

    if not path.exists():
        return None
    text = read_bytes(path)
    try:
        content = _parsed(text) or {}
    except (yaml.YAMLError, _RefusedYAML, RecursionError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", error), "line", None)
        at = "" if line is None else f", line {line + 1}"
        raise ConfigError(f"{path}{at}: the kubeconfig is not YAML. Compare it with kubectl config view.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the kubeconfig is not a YAML object.")
    return _File(path, content)


class _RefusedYAML(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _parsed(text: bytes) -> Any:
    """Return the content of YAML text.

    Raises:
        _RefusedYAML: The text is nested deeper than ``MAX_DEPTH``, or has a merge key (``<<``).
            Deep nesting crashes PyYAML's C parser, and merge keys can fill the memory.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH or (isinstance(event, yaml.ScalarEvent) and event.value == "<<"):
            raise _RefusedYAML(getattr(event.start_mark, "line", 0))
    return yaml.load(text, Loader=loader)  # noqa: S506 - a safe one


class _Merged:
    """Several kubeconfigs as one: the first file that sets a value wins."""

    def __init__(self, files: Iterable[_File]) -> None:
        self._files = list(files)

    def entries(self, plural: str) -> dict[str, tuple[Path, Mapping[str, Any]]]:
        """Return the entries of the list ``plural``, such as ``contexts``, by name. Each value is a
        pair: the path of the kubeconfig that contains the entry, and the content of the entry.
        """
        found: dict[str, tuple[Path, Mapping[str, Any]]] = {}
        for file in self._files:
            listed = file.content.get(plural)
            for entry in listed if isinstance(listed, list) else ():
                if isinstance(entry, dict) and isinstance(name := entry.get("name"), str):
                    value = entry.get(plural[:-1])
                    found.setdefault(name, (file.path, value if isinstance(value, dict) else {}))
        return found

    def select(self, context: str | None, namespace: str | None) -> ClusterConfig:
        name = context or next((text for file in self._files if (text := text_of(file.content, "current-context"))), "")
        if not name:
            raise ConfigError(
                f"{self._named}: no current context. Choose one with kubectl config use-context, or pass it."
            )
        path, chosen = self._entry("contexts", name)
        cluster_path, cluster = self._entry("clusters", text_of(chosen, "cluster") or "", path, name)
        user_name = text_of(chosen, "user")
        user = read_user(*self._entry("users", user_name, path, name)) if user_name else User()
        return _config(cluster_path, cluster, user, name, namespace or text_of(chosen, "namespace") or "default")

    @property
    def _named(self) -> str:
        return ", ".join(str(file.path) for file in self._files)

    def _entry(
        self, plural: str, name: str, path: Path | None = None, context: str = ""
    ) -> tuple[Path, Mapping[str, Any]]:
        entries = self.entries(plural)
        if name in entries:
            return entries[name]
        asks = f" The context {context!r} in {path} asks for it." if path else ""
        raise ConfigError(
            f"{self._named}: no entry {name!r} in {plural}; there are: {', '.join(sorted(entries)[:20]) or 'none'}.{asks}"
        )


def _config(path: Path, cluster: Mapping[str, Any], user: User, context: str, namespace: str) -> ClusterConfig:
    server, proxy = text_of(cluster, "server") or "", text_of(cluster, "proxy-url")
    _require_url(path, "server", server, ("https", "http"), "https://10.0.0.1:6443", context)
    if proxy is not None:
        _require_url(path, "proxy-url", proxy, ("http", "https", "socks5"), "http://proxy.example:3128", context)
    return ClusterConfig(
        server=server.rstrip("/"),
        user=user,
        context=context,
        namespace=namespace,
        ca=data_or_file(path, cluster, "certificate-authority"),
        verify=cluster.get("insecure-skip-tls-verify") is not True,
        server_name=text_of(cluster, "tls-server-name"),
        proxy=proxy,
    )


def _require_url(path: Path, field: str, url: str, schemes: Iterable[str], example: str, context: str) -> None:
    try:
        address = urlsplit(url)
        is_valid = address.scheme in schemes and bool(address.hostname) and (address.port is None or address.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid:
        shown = url.rpartition("@")[2]  # without a password
        raise ConfigError(f"{path}: clusters: {field}: {shown!r} is not a URL such as {example}. Context: {context!r}.")
