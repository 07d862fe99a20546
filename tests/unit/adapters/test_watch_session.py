"""The session that kopf watches with: whoever reads an answer learns of the session's end by an error that kopf expects."""

from __future__ import annotations

import aiohttp
import kopf
import pytest

from mljob_operator.adapters.authentication import Authentication
from mljob_operator.adapters.watch import Watch
from tests.fakes.kubernetes_api import MLJOBS, KubernetesApi


async def test_the_reader_of_an_answer_that_kopf_does_not_know_yet_is_told_of_the_end() -> None:
    """kopf ends with the RuntimeError that aiohttp would raise, and with kopf the operator: one refused request (401) was enough."""
    with KubernetesApi() as api:
        watch = Watch((), Authentication("Check the token"), with_instances=False)
        info = await watch.session(kopf.ConnectionInfo(server=api.url))
        answer = await info.aiohttp_session.get(f"{api.url}{MLJOBS}?watch=true")
        assert watch.listed
        await info.aiohttp_session.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await answer.content.read(1)
