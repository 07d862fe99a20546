"""The HTTP session with which kopf watches the Kubernetes API."""

from __future__ import annotations

import aiohttp
import kopf
import pytest

from mljob_operator.adapters.authentication import Authentication
from mljob_operator.adapters.known_versions import ObserveKnown
from mljob_operator.adapters.watch import Watch
from tests.fakes.kubernetes_api import INSTANCES, MLJOBS, KubernetesApi


def watch_of(observe_known: ObserveKnown) -> Watch:
    return Watch((), Authentication("Check the token"), with_instances=False, observe_known=observe_known)


async def test_reading_from_a_closed_session_raises_an_error_that_kopf_expects() -> None:
    # kopf closes the session after a single error 401, while watches still read. A plain aiohttp
    # session would then raise a RuntimeError, which ends the operator.
    with KubernetesApi() as api:
        watch = watch_of(lambda _key, _uid, _resource_version: False)
        info = await watch.session(kopf.ConnectionInfo(server=api.url))
        answer = await info.aiohttp_session.get(f"{api.url}{MLJOBS}?watch=true")
        assert watch.listed
        await info.aiohttp_session.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await answer.content.read(1)


def change(name: str) -> str:
    """Return a line of a watch, in the form of the API server."""
    uid = "0b1a8d0e-6f0c-4f2e-9d5b-3f3f4c1f2a10"
    metadata = f'{{"name":"{name}","namespace":"team-a","resourceVersion":"7","uid":"{uid}"}}'
    return f'{{"type":"MODIFIED","object":{{"metadata":{metadata},"spec":{{}}}}}}\n'


@pytest.mark.parametrize(
    ("path", "received"),
    [
        (f"{MLJOBS}?watch=true", change("unknown")),
        (f"{INSTANCES}?watch=true", change("known") + change("unknown")),
        (MLJOBS, change("known") + change("unknown")),
    ],
)
async def test_known_versions_are_left_out_of_the_watch_of_mljobs(path: str, received: str) -> None:
    with KubernetesApi() as api:
        api.refuse = lambda _path, _query: (200, change("known") + change("unknown"))
        watch = watch_of(lambda key, _uid, _resource_version: key == ("team-a", "known"))
        info = await watch.session(kopf.ConnectionInfo(server=api.url))
        session = info.aiohttp_session
        async with await session.request(method="get", url=f"{api.url}{path}") as answer:
            chunks = [chunk async for chunk in answer.content.iter_chunked(1024)]
        await session.close()
    assert b"".join(chunks).decode() == received
