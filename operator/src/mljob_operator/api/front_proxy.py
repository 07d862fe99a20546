"""Checks whether a client of mljob-api is the front proxy.

The front proxy is the Kubernetes API server, which authenticates a user and forwards the user's
request to mljob-api. A client certificate identifies the front proxy, and a header names the user.

Source: kubernetes.io, "Configure the Aggregation Layer".
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from kubernetes.aio import client

from ..adapters.kubernetes.requests import TIMEOUT, call
from ..core.frozen import frozen
from ..errors import CannotStart, Gone, StoreError

log = logging.getLogger(__name__)

NAMESPACE, CONFIG_MAP = "kube-system", "extension-apiserver-authentication"
_WHERE = f"ConfigMap {NAMESPACE}/{CONFIG_MAP}"
MAX_USER = 1024
"""The maximum number of characters of a user's name."""


class NoFrontProxy(CannotStart):
    """The ConfigMap ``kube-system/extension-apiserver-authentication`` does not exist, or describes
    no valid front proxy.
    """


@frozen
class FrontProxy:
    """The properties by which mljob-api recognises the front proxy.

    Attributes:
        ca: The certificates of the front proxy's CA (PEM).
        names: The allowed common names in the front proxy's certificate. Empty if all names are
            allowed.
        user_headers: The headers that can have the user's name, in order of preference.
    """

    ca: str
    names: frozenset[str]
    user_headers: tuple[str, ...]

    @classmethod
    def of(cls, data: Mapping[str, str], *, allow_any_name: bool) -> FrontProxy:
        """Return the :class:`FrontProxy` that the ConfigMap describes.

        Args:
            data: The data of the ConfigMap ``kube-system/extension-apiserver-authentication``.
            allow_any_name: Whether the ConfigMap may allow certificates with any name.

        Raises:
            NoFrontProxy: The data has no CA certificate or an invalid value, or allows any name
                although ``allow_any_name`` is false.
        """
        ca = data.get("requestheader-client-ca-file", "")
        try:
            ssl.create_default_context(cadata=ca)
        except (ssl.SSLError, ValueError):
            ca = ""
        if not ca.strip():
            raise NoFrontProxy(
                f"{_WHERE} has no CA certificate in requestheader-client-ca-file. Start the Kubernetes API server with "
                "--requestheader-client-ca-file and --proxy-client-cert-file: see kubernetes.io, Configure the Aggregation Layer."
            )
        names = frozenset(_texts(data, "requestheader-allowed-names"))
        if not names and not allow_any_name:
            raise NoFrontProxy(
                f"{_WHERE} allows any name in requestheader-allowed-names, so every holder of a certificate of that CA could read all logs. "
                "Start the Kubernetes API server with --requestheader-allowed-names, or set MLJOB_API_ALLOW_ANY_FRONT_PROXY_NAME to true "
                "if only the front proxy has certificates of that CA."
            )
        return cls(ca, names, tuple(_texts(data, "requestheader-username-headers")) or ("X-Remote-User",))

    def is_shown_by(self, certificate: Mapping[str, Any] | None) -> bool:
        """Return whether a client certificate identifies the front proxy: whether the certificate
        has an allowed name. The TLS handshake has already checked that ``ca`` signed the
        certificate.

        Args:
            certificate: The result of ``ssl.SSLSocket.getpeercert``, or None if the client has sent
                no certificate. With None, the result is False.
        """
        if not certificate:
            return False
        subject = certificate.get("subject", ())
        found = {value for part in subject for name, value in part if name == "commonName"}
        return not self.names or bool(found & self.names)

    def user(self, headers: Mapping[str, str]) -> str | None:
        """Return the user's name from a request's headers.

        Return None if the name is missing or is longer than ``MAX_USER`` characters.
        """
        user = next((headers[name] for name in self.user_headers if headers.get(name)), None)
        return user if user is not None and len(user) <= MAX_USER else None


class FrontProxyConfig:
    """Reads the :class:`FrontProxy` from the ConfigMap
    ``kube-system/extension-apiserver-authentication``.

    Args:
        api: The client for the Kubernetes API.
        allow_any_name: Whether the ConfigMap may allow certificates with any name.
    """

    def __init__(self, api: client.ApiClient, *, allow_any_name: bool) -> None:
        self._core = client.CoreV1Api(api)
        self._allow_any_name = allow_any_name
        self._problem = ""
        self.current: FrontProxy | None = None
        """The front proxy. None if no client may call."""

    async def read(self) -> None:
        """Read the ConfigMap, and set ``current`` to the :class:`FrontProxy` that the ConfigMap
        describes.

        Raises:
            NoFrontProxy: The ConfigMap does not exist or describes no valid front proxy.
            StoreError: The Kubernetes API fails.
        """
        try:
            found = await call(self._core.read_namespaced_config_map, CONFIG_MAP, NAMESPACE, _request_timeout=TIMEOUT)
        except Gone:
            raise NoFrontProxy(
                f"{_WHERE} does not exist. Start the Kubernetes API server with --requestheader-client-ca-file."
            ) from None
        self.current = FrontProxy.of(found.data or {}, allow_any_name=self._allow_any_name)

    async def refresh(self) -> None:
        """Read the ConfigMap again, and set ``current`` to the :class:`FrontProxy` that the
        ConfigMap describes. Errors are logged and not raised.

        If the Kubernetes API fails, ``current`` does not change. If the ConfigMap does not exist or
        describes no valid front proxy, ``current`` becomes None.
        """
        try:
            await self.read()
        except NoFrontProxy as error:
            self.current = None
            self._log_once(str(error))
        except StoreError as error:
            self._log_once(f"{_WHERE} can't be read: {error}")
        else:
            self._problem = ""

    def _log_once(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            log.error("%s", problem)


def _texts(data: Mapping[str, str], key: str) -> Sequence[str]:
    """Return the strings of a JSON list in the ConfigMap, without empty strings.

    Raises:
        NoFrontProxy: The value is not a JSON list of strings.
    """
    try:
        found = json.loads(data.get(key) or "[]")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise NoFrontProxy(f"{_WHERE}: {key} is no JSON list of strings")
    return [text for text in found if text]
