"""Chooses the HTTP proxy for a server from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

NO_PROXY has the same meaning as in Go (``golang.org/x/net/http/httpproxy``). So NO_PROXY may
contain networks, which Python's standard library does not support.
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
    """Return the URL of the proxy for a server, or None if no proxy is needed.

    Args:
        server: The server's http or https URL.
        environment: The environment variables. A name in capital letters takes precedence over the
            same name in small letters.

    Raises:
        ValueError: HTTPS_PROXY or HTTP_PROXY applies, and is not the URL of an HTTP proxy.
    """
    url = urlsplit(server)
    proxy = _variable(f"{url.scheme.upper()}_PROXY", environment) if url.scheme in _PORTS else ""
    if not proxy or not url.hostname or _bypassed(url, _variable("NO_PROXY", environment)):
        return None
    return _checked(proxy)


def problems(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return a message for each invalid value of HTTPS_PROXY and HTTP_PROXY.

    The messages contain no user names and no passwords.
    """
    found = []
    for name in VARIABLES:
        try:
            _checked(_variable(name, environment) or "http://none")
        except ValueError as error:
            found.append(f"{name}: {error}")
    return found


def passwords(environment: Mapping[str, str] = os.environ) -> set[str]:
    """Return the passwords in HTTPS_PROXY and HTTP_PROXY, both as written and URL-decoded."""
    urls = [_variable(name, environment) for name in VARIABLES]
    written = {url.rpartition("@")[0].rpartition("//")[2].partition(":")[2] for url in urls}
    return {text for password in written for text in (password, unquote(password)) if text}


def login_headers(proxy: str) -> dict[str, str]:
    """Return the headers that authenticate requests to a proxy. Empty if the proxy's URL names no
    user.
    """
    url = urlsplit(proxy)
    if url.username is None:
        return {}
    return make_headers(proxy_basic_auth=f"{unquote(url.username)}:{unquote(url.password or '')}")


def pool_manager(proxy: str | None, **options: Any) -> PoolManager:
    """Return a ``PoolManager`` of urllib3 that sends its requests through the proxy.

    Args:
        proxy: The proxy's URL, or None for direct connections.
        options: The options of urllib3's ``PoolManager``.
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
    """Return the URL of a proxy. ``host:port`` becomes an http URL.

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
