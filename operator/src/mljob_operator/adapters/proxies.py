"""Chooses the HTTP proxy for a server from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

Kubernetes' programs are written in Go, and interpret NO_PROXY by the rule of
``golang.org/x/net/http/httpproxy``. Platforms rely on this rule. OpenShift, for example, puts the
cluster's networks (172.30.0.0/16) and ``.svc`` into NO_PROXY. Python's standard library supports no
networks in NO_PROXY. So this module implements Go's rule, and the operator applies the rule to
every server.

The environment of a process does not change, so callers ask for a server's proxy only once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from urllib3 import PoolManager, ProxyManager
from urllib3.util import make_headers

VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY")
"""The variable with the proxy for https servers, and the variable with the proxy for http
servers."""
_PORTS = {"http": 80, "https": 443}


def proxy_for(server: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the URL of the proxy for requests to a server, or None if requests go straight to the
    server.

    Args:
        server: The server's URL, http or https.
        environment: The environment variables; by default, the variables of this process. A
            variable whose name is in capitals takes precedence over the same variable in small
            letters.

    Raises:
        ValueError: Requests to the server need a proxy, but HTTPS_PROXY (for an https server) or
            HTTP_PROXY (for an http server) is not the URL of an HTTP proxy.
    """
    url = urlsplit(server)
    proxy = _variable(f"{url.scheme.upper()}_PROXY", environment) if url.scheme in _PORTS else ""
    if not proxy or not url.hostname or _bypassed(url, _variable("NO_PROXY", environment)):
        return None
    return _checked(proxy)


def problems(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Check the variables HTTPS_PROXY and HTTP_PROXY. Return one sentence for each variable whose
    value is invalid. The sentences contain no user names and no passwords.
    """
    found = []
    for name in VARIABLES:
        try:
            _checked(_variable(name, environment) or "http://none")
        except ValueError as error:
            found.append(f"{name}: {error}")
    return found


def passwords(environment: Mapping[str, str] = os.environ) -> set[str]:
    """Return the passwords in HTTPS_PROXY and HTTP_PROXY, so that logs can be redacted. Each
    password is returned in two forms: as in the variable, and URL-decoded.
    """
    urls = [_variable(name, environment) for name in VARIABLES]
    written = {url.rpartition("@")[0].rpartition("//")[2].partition(":")[2] for url in urls}
    return {text for password in written for text in (password, unquote(password)) if text}


def login_headers(proxy: str) -> dict[str, str]:
    """Return a dict with the header that sends the user and the password to the proxy. The dict is
    empty if the proxy's URL has no user.

    The header is needed because urllib3 ignores the user and the password in a proxy's URL.
    """
    url = urlsplit(proxy)
    if url.username is None:
        return {}
    return make_headers(proxy_basic_auth=f"{unquote(url.username)}:{unquote(url.password or '')}")


def pool_manager(proxy: str | None, **options: Any) -> PoolManager:
    """Return a urllib3 connection pool that sends requests through the proxy, or straight to the
    servers if ``proxy`` is None.
    """
    if proxy is None:
        return PoolManager(**options)
    return ProxyManager(proxy, proxy_headers=login_headers(proxy), **options)


def shown(proxy: str) -> str:
    """Return the proxy's URL without user and password, for error messages."""
    url = urlsplit(proxy)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}" + (f":{url.port}" if url.port is not None else "")


def _variable(name: str, environment: Mapping[str, str]) -> str:
    return (environment.get(name) or environment.get(name.lower()) or "").strip()


def _checked(proxy: str) -> str:
    """Check the value of HTTPS_PROXY or HTTP_PROXY, and return the proxy's URL.

    The form ``host:port`` counts as an http URL.

    Raises:
        ValueError: The value is not the URL of an HTTP proxy.
    """
    url = proxy if "://" in proxy else f"http://{proxy}"
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("is not the URL of an HTTP proxy such as http://proxy.example.com:3128")
    return url


def _bypassed(url: SplitResult, no_proxy: str) -> bool:
    host = url.hostname or ""
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    port = url.port or _PORTS[url.scheme]
    entries = [entry.strip().lower() for entry in no_proxy.split(",")]
    return any(_matches(entry, host, address, port) for entry in entries if entry)


def _matches(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
    """Return whether an entry of NO_PROXY matches a server.

    Args:
        entry: ``*``, a network, an address or a domain. An address or a domain may have a port.
        host: The server's host.
        address: The server's host as an IP address. None if the host is a name.
        port: The server's port.
    """
    if entry == "*":
        return True
    if (network := _network(entry)) is not None:
        return address is not None and address in network
    name, entry_port = _split_port(entry)
    if entry_port is not None and entry_port != str(port):
        return False
    if (entry_address := _address(name)) is not None or address is not None:
        return entry_address == address
    # "example.com" matches example.com and its subdomains. ".example.com" and "*.example.com" match
    # the subdomains alone.
    name = name[1:] if name.startswith("*.") else name
    return bool(name.strip(".")) and (host == name or host.endswith(f".{name.removeprefix('.')}"))


def _split_port(entry: str) -> tuple[str, str | None]:
    """Split an entry of NO_PROXY into the host and the port: ``host:port``, ``[address]:port``,
    ``address`` or ``host``. The port is None if the entry has no port.
    """
    if _address(entry) is not None:
        return entry, None
    host, colon, port = entry.rpartition(":")
    return (host.strip("[]"), port) if colon and not entry.endswith("]") else (entry.strip("[]"), None)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None
