"""Checks whether a client is the front proxy. The front proxy is the Kubernetes API server, which
forwards the requests of users to mljob-api. No other client may call mljob-api.

The API server authenticates and authorises a user, and then forwards the request. The API server
proves its identity by a client certificate, and names the user in a header. The certificate's CA,
the names that the certificate may have, and the name of the header are in a ConfigMap that the API
server writes.

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
    """The ConfigMap does not describe a front proxy to trust: the ConfigMap does not exist, has no
    valid CA, has another invalid value, or allows certificates with any name although the settings
    don't permit this.
    """


@frozen
class FrontProxy:
    """The properties by which mljob-api recognises the front proxy.

    Attributes:
        ca: The certificates of the front proxy's CA (PEM).
        names: The common names that the front proxy's certificate may have. Empty if any name is
            allowed.
        user_headers: The names of the headers that may have the name of the user. If a request has
            several of these headers, the first in this order is used.
    """

    ca: str
    names: frozenset[str]
    user_headers: tuple[str, ...]

    @classmethod
    def of(cls, data: Mapping[str, str], *, allow_any_name: bool) -> FrontProxy:
        """Return the front proxy that the data of the ConfigMap describe.

        Raises:
            NoFrontProxy: The data have no valid CA, have another invalid value, or allow
                certificates with any name although ``allow_any_name`` is false.
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
        """Return whether a client certificate belongs to the front proxy. Only the name is checked
        here: TLS has already verified that :attr:`ca` issued the certificate.

        Args:
            certificate: The certificate, as ``ssl.SSLSocket.getpeercert`` returns it. None or empty
                for a client without a certificate.
        """
        if not certificate:
            return False
        subject = certificate.get("subject", ())
        found = {value for part in subject for name, value in part if name == "commonName"}
        return not self.names or bool(found & self.names)

    def user(self, headers: Mapping[str, str]) -> str | None:
        """Return the name of the user from the headers of a request. Return None if the name is
        missing, or longer than ``MAX_USER`` characters.
        """
        user = next((headers[name] for name in self.user_headers if headers.get(name)), None)
        return user if user is not None and len(user) <= MAX_USER else None


class FrontProxyConfig:
    """Reads from the ConfigMap which front proxy to trust. The ConfigMap must be read regularly,
    because the CA is renewed.

    Args:
        api: The client of the Kubernetes API.
        allow_any_name: Whether to accept a ConfigMap that allows certificates with any name.
    """

    def __init__(self, api: client.ApiClient, *, allow_any_name: bool) -> None:
        self._core = client.CoreV1Api(api)
        self._allow_any_name = allow_any_name
        self._problem = ""
        self.current: FrontProxy | None = None
        """The front proxy. None if no client may call."""

    async def read(self) -> None:
        """Read from the ConfigMap which front proxy to trust, and keep the result in ``current``.

        Raises:
            NoFrontProxy: The ConfigMap does not exist, has no valid CA, has another invalid value,
                or allows certificates with any name although ``allow_any_name`` is false.
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
        """Read the ConfigMap again. If the Kubernetes API fails, ``current`` stays as it is. If the
        ConfigMap does not describe a front proxy to trust (:class:`NoFrontProxy`), ``current``
        becomes None, so no client may call. Both problems are logged and not raised.
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
    """Return the strings of the JSON list under ``key`` in the ConfigMap, without empty strings.
    Return an empty list if the key is missing.

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
