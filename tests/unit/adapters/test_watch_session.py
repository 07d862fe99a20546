"""The HTTP session with which kopf watches the Kubernetes API."""

from __future__ import annotations

import aiohttp
import kopf
import pytest

from mljob_operator.adapters.authentication import Authentication
from mljob_operator.adapters.watch import Watch
from tests.fakes.kubernetes_api import MLJOBS, KubernetesApi


async def test_reading_from_a_closed_session_raises_an_error_that_kopf_expects() -> None:
    # kopf closes the session after a single error 401, while watches still read. A plain aiohttp
    # session would then raise a RuntimeError, which ends the operator.
    with KubernetesApi() as api:
        watch = Watch((), Authentication("Check the token"), with_instances=False)
        info = await watch.session(kopf.ConnectionInfo(server=api.url))
        answer = await info.aiohttp_session.get(f"{api.url}{MLJOBS}?watch=true")
        assert watch.listed
        await info.aiohttp_session.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await answer.content.read(1)
