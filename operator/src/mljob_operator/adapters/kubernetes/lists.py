"""Lists of objects, read in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from kubernetes.aio.client.exceptions import ApiException

from ...errors import StoreUnavailable
from .requests import TIMEOUT, call, json_object

PAGE = 100
"""Objects in one answer to a list.

A finished MLJob may have 64 KiB of status: a page of them is held in memory several times while it
is read.
"""


async def list_objects(lister: Any, *place: str) -> AsyncIterator[Any]:
    """The objects of a list in JSON, read in pages.

    The pages need not be of one moment: where reading takes longer than the API server keeps old
    versions, the list continues with the current ones.

    Args:
        lister: The client's method without preload.
        place: The method's arguments.

    Raises:
        StoreError: A page can't be read.
    """
    token: str | None = ""
    while token is not None:
        page = await call(_page, lister, *place, token=token)
        for item in page.pop("items"):
            yield item
        token = (page.get("metadata") or {}).get("continue") or None


async def _page(lister: Any, *place: str, token: str) -> dict[str, Any]:
    """One page of a list; empty where the continue token has expired and the API server gave a new one."""
    further = {"_continue": token} if token else {}
    answer = await lister(*place, limit=PAGE, _request_timeout=TIMEOUT, **further)
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
