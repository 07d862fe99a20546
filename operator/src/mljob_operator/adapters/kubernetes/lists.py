"""Lists objects in the Kubernetes API, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from mljob_contract.resource import GROUP, VERSION

from ...errors import StoreUnavailable
from .requests import TIMEOUT, call, json_object

PAGE = 20
"""The number of objects in a page of a list.

A larger page could take too much memory: etcd stores objects of up to 1.5 MiB by default, and
several copies of a page are in memory while the page is read. With 900 MLJobs of 1.4 MiB each, the
operator took 216 MiB at most. With pages of 100 objects and 300 such MLJobs, it took 558 MiB.
"""


def list_path(plural: str, namespace: str = "") -> str:
    """Return the path of the list of a custom resource in the Kubernetes API. An empty
    ``namespace`` stands for all namespaces, or for a cluster-scoped resource.
    """
    return f"/apis/{GROUP}/{VERSION}/" + (f"namespaces/{namespace}/{plural}" if namespace else plural)


async def list_objects(
    lister: Any, *args: str, listed: Callable[[str], None] | None = None, **query: str
) -> AsyncIterator[Any]:
    """Yield the objects of a list as dicts. Only one page is in memory at a time.

    If reading all pages takes minutes, later pages may show a newer state of the cluster than the
    first page.

    Args:
        lister: A list method of the Kubernetes client. The name of the method ends in
            ``_without_preload_content``.
        args: The method's positional arguments.
        listed: Called at the end with the resourceVersion of the first page. A watch from this
            version delivers each change that the list may lack. Not called if the API server has
            told no resourceVersion.
        query: The method's keyword arguments, such as ``label_selector``.

    Raises:
        StoreError: A page can't be read.
    """
    token: str | None = ""
    version: Any = None
    while token is not None:
        page = await call(_page, lister, *args, token=token, **query)
        metadata = page.get("metadata") or {}
        version = version or metadata.get("resourceVersion")
        for item in page.pop("items"):
            yield item
        token = metadata.get("continue") or None
    if listed is not None and isinstance(version, str):
        listed(version)


async def _page(lister: Any, *args: str, token: str, **query: str) -> dict[str, Any]:
    """Request one page of a list.

    If the continue token has expired (410), return a page without items but with a new token.
    """
    further = {"_continue": token} if token else {}
    answer = await lister(*args, limit=PAGE, _request_timeout=TIMEOUT, **further, **query)
    body = await answer.read()
    page = json_object(body)
    if answer.status == 410 and token and (page.get("metadata") or {}).get("continue"):
        return {**page, "items": []}
    if answer.status != 200:
        raise ApiException(status=answer.status, reason=answer.reason, body=body.decode(errors="replace"))
    if not isinstance(page.get("items"), list):
        raise StoreUnavailable(
            "the Kubernetes API answered a list request with something else than a list; is it behind a proxy?"
        )
    return page
