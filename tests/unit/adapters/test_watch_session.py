"""The HTTP session with which kopf watches the Kubernetes API. Reading from a closed session must
raise an error that kopf handles.
"""

from __future__ import annotations

import aiohttp
import kopf
import pytest

from mljob_operator.adapters.authentication import Authentication
from mljob_operator.adapters.watch import Watch
from tests.fakes.kubernetes_api import MLJOBS, KubernetesApi


async def test_reading_from_a_closed_session_raises_an_error_that_kopf_expects() -> None:
    """kopf closes the session after a single refused request (401), while watches still read their
    answers. With a plain aiohttp session, the next read of an answer would raise a RuntimeError,
    which would end kopf and the operator. The session of :class:`.Watch` prevents this error.
    """
    with KubernetesApi() as api:
        watch = Watch((), Authentication("Check the token"), with_instances=False)
        info = await watch.session(kopf.ConnectionInfo(server=api.url))
        answer = await info.aiohttp_session.get(f"{api.url}{MLJOBS}?watch=true")
        assert watch.listed
        await info.aiohttp_session.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            await answer.content.read(1)
