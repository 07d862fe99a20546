"""Access to the view, which shows MLJobs in a browser: for one person on their own machine, or for
people behind an OIDC proxy in the cluster.

On a person's machine, the view acts with the person's kubeconfig, so the view must let in nobody
else:

- The view listens on 127.0.0.1. The view answers only requests whose header Host is 127.0.0.1 or
  localhost, so that no web site reaches the view by DNS rebinding.
- The URL that the view prints has a token. The first browser that opens this URL gets a cookie.
  Scripts can't read the cookie, and browsers don't send the cookie with requests from other sites.
- The view starts the browser with the path of a private file as argument. The file contains the
  URL. Other people on the machine can see this argument, but can't read the file.
- A request that changes something must come from a page of the view, with the token of the page's
  form.

In the cluster, the view has no rights of its own. Each request has the token of its sender, and the
API server decides what the token allows.
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

from ..errors import MLJobError
from ..kubeconfig import ClusterConfig
from ..kubeconfig_user import User
from .person import Person

MAX_TOKEN: Final = 16 * 1024
"""The maximum number of characters of a viewer's token."""
MAX_PERSONS: Final = 200
"""The maximum number of persons that the view serves at the same time. For a further person, the
view forgets the person without an open page whose last request is the oldest. If all persons have
open pages, the view refuses the further person.
"""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class Access(Protocol):
    """Identifies the person who has sent a request. Owns the connections to the API server, and the
    background tasks that read data for pages.
    """

    allowed_hosts: frozenset[str]
    """The values of the header Host that are answered."""
    ways_in: tuple[str, ...]
    """Sentences that tell a person how to prove who they are."""

    async def person(self, request: Request) -> Person | None:
        """Return the person who has sent a request. Return None if the request lacks the cookie or
        the token that identifies a person.

        Raises:
            TooManyPersons: The view already serves the maximum number of persons.
        """
        ...

    def first_visit(self, request: Request) -> tuple[str, str] | None:
        """Return the name and the value of the cookie to set in the answer, if the request is the
        first GET request with the token of the URL that the view has printed. Otherwise return
        None. In the cluster, always return None.
        """
        ...

    async def end_idle(self) -> None:
        """End the background tasks that read data only for pages that were closed at least 60
        seconds ago.
        """
        ...

    async def aclose(self) -> None:
        """End all background tasks that read data for pages, and close all connections."""
        ...


def is_same_origin(request: Request) -> bool:
    """Return whether a page of the view itself has sent a request, according to the headers
    ``Sec-Fetch-Site`` and ``Origin``. Return False if the request has neither header.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site == "same-origin"
    return re.sub(r"^https?://", "", origin) == request.headers.get("host")


class LocalAccess:
    """Lets in only the person who started the view on their own machine. The first browser that
    opens the URL with the token gets a cookie. Later requests need the cookie.

    Attributes:
        token: The token in the URL that the view prints.

    Args:
        config: The person's cluster and credentials.
        port: The port that the view listens on.
    """

    def __init__(self, config: ClusterConfig, port: int) -> None:
        self.ways_in: tuple[str, ...] = (
            "If you followed a link from elsewhere, open the page again.",
            "Otherwise open the address that kubectl mljob ui printed. It lets one browser in.",
        )
        self.token = secrets.token_urlsafe(32)
        self.allowed_hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        self._config = config
        # Browsers send a cookie to all ports of a host, and a person may have a view for each
        # cluster.
        self._cookie = f"mljob-session-{port}"
        self._session = secrets.token_urlsafe(32)
        self._was_visited = False
        self._person: Person | None = None

    async def person(self, request: Request) -> Person | None:
        """Return the person who started the view if the request has the cookie, else None."""
        if not hmac.compare_digest(request.cookies.get(self._cookie, "").encode(), self._session.encode()):
            return None
        if self._person is None:
            self._person = Person(self._config, self._session.encode(), asyncio.Semaphore(2))
        return self._person

    def first_visit(self, request: Request) -> tuple[str, str] | None:
        """Return the name and the value of the cookie to set in the answer, if the request is the
        first GET request with the token. Otherwise return None.
        """
        given = request.query_params.get("token", "")
        is_right = hmac.compare_digest(given.encode(), self.token.encode())
        if request.method != "GET" or self._was_visited or not is_right:
            return None
        self._was_visited = True
        return self._cookie, self._session

    async def end_idle(self) -> None:
        """End the background tasks that read data only for pages that were closed at least 60
        seconds ago.
        """
        if self._person is not None:
            await self._person.feeds.end_idle()

    async def aclose(self) -> None:
        """End all background tasks that read data for pages, and close all connections."""
        if self._person is not None:
            await self._person.aclose()


class ProxyAccess:
    """Lets in each person whose request has a token, which the OIDC proxy in front of the view
    adds. The API server decides whether the token is valid.

    Args:
        config: The cluster. The person's token replaces the credentials of ``config``.
        hosts: The allowed values of the header Host. Requests with another value are refused.
    """

    def __init__(self, config: ClusterConfig, hosts: frozenset[str]) -> None:
        self.ways_in: tuple[str, ...] = (
            "Open the page again, and sign in where the proxy of the view asks for it.",
            "If that does not help, tell the platform team that the proxy passes no token on. The view takes the token from the header Authorization (Bearer) or X-Forwarded-Access-Token.",
        )
        self.allowed_hosts = hosts
        self._config = config
        self._lists = asyncio.Semaphore(2)
        self._persons: dict[str, Person] = {}

    async def person(self, request: Request) -> Person | None:
        """Return the person whose token the request has. Return None if the request has no token,
        or if the token has an invalid character or more than :data:`MAX_TOKEN` characters. This
        method does not check whether the API server accepts the token.

        Raises:
            TooManyPersons: The person is new, and :data:`MAX_PERSONS` other persons have pages
                open.
        """
        token = _bearer(request)
        if token is None:
            return None
        key = hashlib.sha256(token.encode()).hexdigest()
        if key not in self._persons:
            await self._make_room()
        person = self._persons.pop(key, None)  # another request may have made it meanwhile
        if person is None:
            config = replace(self._config, user=User(token=token), context="")
            person = Person(config, hashlib.sha256(b"view" + token.encode()).digest(), self._lists)
        self._persons[key] = person  # the last one is the one who was here last
        return person

    def first_visit(self, request: Request) -> tuple[str, str] | None:
        """Return None: the proxy identifies the person, so the view needs no cookie."""
        return None

    async def end_idle(self) -> None:
        """End the background tasks that read data only for pages that were closed at least 60
        seconds ago. Then forget the persons who have no background task and no open page.
        """
        for key, person in list(self._persons.items()):
            await person.feeds.end_idle()
            if person.feeds.is_empty and not person.is_in_use:
                await self._forget(key, person)

    async def aclose(self) -> None:
        """End all background tasks that read data for pages, and close all connections."""
        for person in self._persons.values():
            await person.aclose()

    async def _make_room(self) -> None:
        for key, person in list(self._persons.items()):
            if len(self._persons) < MAX_PERSONS:
                return
            if not person.is_in_use:
                await self._forget(key, person)
        if len(self._persons) >= MAX_PERSONS:
            # Anybody can send an invalid token. Such requests must not end the pages of others.
            raise TooManyPersons(f"{MAX_PERSONS} people have pages of this view open. Try again later.")

    async def _forget(self, key: str, person: Person) -> None:
        # While one person's reading ended, another request may have forgotten the next one.
        if self._persons.get(key) is person:
            del self._persons[key]
            await person.aclose()


class TooManyPersons(MLJobError):
    """The error when the view already serves the maximum number of persons."""


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else request.headers.get("x-forwarded-access-token", "")
    return given if len(given) <= MAX_TOKEN and _TOKEN.fullmatch(given) else None
