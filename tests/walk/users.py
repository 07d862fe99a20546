"""Those who apply and delete objects of one kind, as GitOps tools do: by Server-Side Apply, many at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from mljob_contract.mljob import API_VERSION, GROUP, VERSION

Object = dict[str, Any]

SIDE_BY_SIDE = 8
"""Requests at a time."""
LOOK_EVERY = 2.0
"""Seconds between two looks at all objects."""
MANAGER = "walk"
APPLY = "application/apply-patch+yaml"


async def side_by_side(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """What each piece of work returns, some at a time."""
    free = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(piece: Awaitable[Any]) -> Any:
        async with free:
            return await piece

    return await asyncio.gather(*(one(piece) for piece in work))


class Users:
    """Users of one kind.

    Args:
        namespace: Where the objects are; None: the kind has no namespaces.
        within: Seconds that anything may take that is waited for.
        evidence: What the operator said last.
    """

    def __init__(
        self,
        api: client.ApiClient,
        kind: str,
        plural: str,
        namespace: str | None,
        *,
        within: float,
        evidence: Callable[[], str],
    ) -> None:
        objects = client.CustomObjectsApi(api)
        of_kind = partial(partial, group=GROUP, version=VERSION, plural=plural)
        if namespace is None:
            self._list = of_kind(objects.list_cluster_custom_object)
            self._patch = of_kind(objects.patch_cluster_custom_object)
            self._delete = of_kind(objects.delete_cluster_custom_object)
        else:
            self._list = of_kind(objects.list_namespaced_custom_object, namespace=namespace)
            self._patch = of_kind(objects.patch_namespaced_custom_object, namespace=namespace)
            self._delete = of_kind(objects.delete_namespaced_custom_object, namespace=namespace)
        self._kind = kind
        self._within = within
        self._evidence = evidence

    async def apply(self, name: str, spec: Mapping[str, Any]) -> str | None:
        """Create or change one; why the API server refuses it, or None."""
        body = {"apiVersion": API_VERSION, "kind": self._kind, "metadata": {"name": name}, "spec": dict(spec)}
        ask = partial(self._patch, name=name, body=body, field_manager=MANAGER, force=True, _content_type=APPLY)
        refused = await self._asked(ask, 400, 422)
        return str(refused.body) if refused is not None else None

    async def delete(self, name: str) -> None:
        """Delete one, without waiting until it is gone."""
        await self._asked(partial(self._delete, name=name), 404)

    async def _asked(self, ask: Callable[[], Awaitable[Any]], *expected: int) -> ApiException | None:
        """Ask, and ask again where the API server has too much to do; an answer that is expected, and no success."""
        deadline = time.monotonic() + self._within
        while True:
            try:
                await ask()
            except ApiException as error:
                if error.status in expected:
                    return error
                if error.status not in (429, 500, 503, 504) or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(1)
            else:
                return None

    async def all(self) -> dict[str, Object]:
        """Those that are there, by name."""
        return {body["metadata"]["name"]: body for body in (await self._list())["items"]}

    async def until(self, late: Callable[[dict[str, Object]], Iterable[Object]], what: str) -> dict[str, Object]:
        """All objects, as soon as two looks in a row find none that is late."""
        deadline = time.monotonic() + self._within
        waited = True
        while True:
            found = await self.all()
            waiting = list(late(found))
            if not waiting and not waited:
                return found
            waited = bool(waiting)
            assert time.monotonic() < deadline, "\n".join(
                [f"{len(waiting)} are late: {what}", *(line(body) for body in waiting[:10]), self._evidence()]
            )
            await asyncio.sleep(LOOK_EVERY if waiting else LOOK_EVERY / 4)


def line(body: Object) -> str:
    """An object in a line."""
    status = body.get("status", {})
    said = {name: status.get(name) for name in ("observedGeneration", "phase", "reason", "message", "conditions")}
    return f"{body['metadata']['name']}: {said} {body['spec']}"


def unseen(found: dict[str, Object]) -> list[Object]:
    """Those whose last change the operator has not acted on."""
    return [
        body
        for body in found.values()
        if body.get("status", {}).get("observedGeneration") != body["metadata"]["generation"]
    ]
