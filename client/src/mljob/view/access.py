"""Who looks: a person on their own machine, or somebody behind an OIDC proxy in the cluster.

On a person's machine the view acts with the person's kubeconfig, so it must let nobody else in:

- It listens on 127.0.0.1, and answers only requests for that host, so that no web site reaches it
  by a name of its own (DNS rebinding).
- The first address has a token, which becomes a cookie of this browser: not readable by scripts,
  and not sent with requests from other sites.
- A change needs the same origin, and a token of a page.

In the cluster, the view has no rights of its own. Each request brings the viewer's token, and the
API server decides what it is worth.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from dataclasses import replace
from typing import Final, Protocol

from starlette.requests import Request

from ..kubeconfig import ClusterConfig
from ..kubeconfig_user import User
from .person import Person

COOKIE: Final = "mljob-session"
MAX_TOKEN: Final = 16 * 1024
"""The maximum number of characters of a viewer's token."""
MAX_PERSONS: Final = 200
"""How many persons the view serves at the same time. The one who was away longest leaves first."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class Access(Protocol):
    """Decides whose page a request asks for."""

    allowed_hosts: frozenset[str]
    """The values of the header Host that are answered."""

    async def person(self, request: Request) -> Person | None:
        """Return the person, or None if the request does not say who asks."""
        ...

    def first_visit(self, request: Request) -> str | None:
        """Return the cookie to set if the request has the right token of a first address."""
        ...

    async def end_idle(self) -> None:
        """End what nobody uses any more."""
        ...

    async def aclose(self) -> None:
        """End everything."""
        ...


def is_same_origin(request: Request) -> bool:
    """Return whether a page of the view itself has sent a request, as browsers say it. A request
    without the headers that every current browser sends with a form is refused.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    return re.sub(r"^https?://", "", origin) == request.headers.get("host")


class LocalAccess:
    """Lets one person in, who started the view.

    Attributes:
        token: The token of the first address.

    Args:
        config: The person's cluster and credentials.
        port: The port that the view listens on.
    """

    def __init__(self, config: ClusterConfig, port: int) -> None:
        self.token = secrets.token_urlsafe(32)
        self.allowed_hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self._config = config
        self._session = secrets.token_urlsafe(32)
        self._person: Person | None = None

    async def person(self, request: Request) -> Person | None:
        """Return the person if the browser has the cookie."""
        if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._session.encode()):
            return None
        if self._person is None:
            self._person = Person(self._config, self._session.encode(), asyncio.Semaphore(2))
        return self._person

    def first_visit(self, request: Request) -> str | None:
        """Return the cookie if the request has the token."""
        given = request.query_params.get("token", "")
        return self._session if hmac.compare_digest(given.encode(), self.token.encode()) else None

    async def end_idle(self) -> None:
        """End the feeds that no page uses."""
        if self._person is not None:
            await self._person.feeds.end_idle()

    async def aclose(self) -> None:
        """End everything."""
        if self._person is not None:
            await self._person.aclose()


class ProxyAccess:
    """Lets in whoever brings a token, from an OIDC proxy in front of the view.

    Args:
        config: The cluster. Its user is replaced by the viewer's token.
        hosts: The values of the header Host that are answered.
    """

    def __init__(self, config: ClusterConfig, hosts: frozenset[str]) -> None:
        self.allowed_hosts = hosts
        self._config = config
        self._lists = asyncio.Semaphore(2)
        self._persons: dict[str, Person] = {}

    async def person(self, request: Request) -> Person | None:
        """Return the person of the request's token."""
        token = _bearer(request)
        if token is None:
            return None
        key = hashlib.sha256(token.encode()).hexdigest()
        person = self._persons.pop(key, None)
        if person is None:
            await self._make_room()
            config = replace(self._config, user=User(token=token), context="")
            person = Person(config, hashlib.sha256(b"view" + token.encode()).digest(), self._lists)
        self._persons[key] = person  # the last one is the one who was here last
        return person

    def first_visit(self, request: Request) -> str | None:
        """Return None: the proxy knows who asks."""
        return None

    async def end_idle(self) -> None:
        """End feeds that no page uses, and forget the persons without feeds."""
        for key, person in list(self._persons.items()):
            await person.feeds.end_idle()
            if person.feeds.is_empty and not person.streams:
                del self._persons[key]
                await person.aclose()

    async def aclose(self) -> None:
        """End everything."""
        for person in self._persons.values():
            await person.aclose()

    async def _make_room(self) -> None:
        for key, person in list(self._persons.items()):
            if len(self._persons) < MAX_PERSONS:
                return
            if not person.feeds.is_in_use and not person.streams:
                del self._persons[key]
                await person.aclose()
        if len(self._persons) >= MAX_PERSONS:
            key = next(iter(self._persons))
            await self._persons.pop(key).aclose()


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-forwarded-access-token", "")
    return given if len(given) <= MAX_TOKEN and _TOKEN.fullmatch(given) else None
