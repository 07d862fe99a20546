"""The pages that a person sees instead of data."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from mljob.kubeconfig import ClusterConfig
from mljob.view.access import ProxyAccess
from mljob.view.person import Person, Reads
from mljob.view.site import Site


@pytest.mark.parametrize("source", ["jobs", "job"])
async def test_namespace_that_is_no_name_of_kubernetes_is_asked_for_again(source: str) -> None:
    async def show(_: Request, __: Person, reads: Reads) -> Response:
        await (reads.jobs("Team_A") if source == "jobs" else reads.job("Team_A", "train"))
        raise AssertionError("unreachable: the namespace is wrong")

    site = Site(ProxyAccess(ClusterConfig("http://127.0.0.1:1"), frozenset()))
    headers = [(b"authorization", b"Bearer t")]
    request = {"type": "http", "method": "GET", "path": "/jobs", "query_string": b"", "headers": headers}

    page = await site.page(show)(Request(request))
    await site.access.aclose()

    assert page.status_code == 400
    assert b"is no name of Kubernetes" in page.body
    assert b'<input name="namespace"' in page.body
