"""Creates Kubernetes Events."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from kubernetes.aio import client

from ...core.status.events import MAX_NOTE, KubeEvent
from ...core.text.urls import path_segment
from .requests import send

COMPONENT = "mljob-operator"


class OperatorEvents:
    """Records Events about the operator itself.

    Args:
        api: The client for the Kubernetes API.
        namespace: The operator's namespace.
        pod: The name of the operator's Pod. If None, the Events are about the namespace.
        uid: The Pod's uid.
    """

    def __init__(self, api: client.ApiClient, namespace: str, pod: str | None, uid: str | None) -> None:
        self._api = api
        self._about = {"apiVersion": "v1", "namespace": namespace}
        self._about |= (
            {"kind": "Pod", "name": pod, "uid": uid or ""} if pod else {"kind": "Namespace", "name": namespace}
        )

    async def record(self, kube_event: KubeEvent) -> None:
        """Create an Event about the operator's Pod or namespace.

        Raises:
            StoreError: The API server refused the Event, or did not answer.
        """
        await create(self._api, event(self._about, kube_event))


async def create(api: client.ApiClient, body: Mapping[str, Any]) -> None:
    """Create an Event in the Kubernetes API.

    Args:
        api: The client for the Kubernetes API.
        body: The Event (:func:`event`).

    Raises:
        StoreError: The API server refused the Event, or did not answer.
    """
    await send(api, "POST", f"/api/v1/namespaces/{path_segment(body['metadata']['namespace'])}/events", body)


def event(about: Mapping[str, Any], kube_event: KubeEvent) -> dict[str, Any]:
    """Return the body of a Kubernetes Event.

    Args:
        about: The field ``involvedObject``. The Event is in the namespace that this field
            names, or in ``default`` if this field names no namespace.
        kube_event: The type, the reason and the message.
    """
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {
            "name": f"{about['name']}.{uuid.uuid4().hex[:16]}",
            "namespace": about.get("namespace", "default"),
        },
        "involvedObject": dict(about),
        "type": kube_event.type,
        "reason": kube_event.reason,
        "message": kube_event.message[:MAX_NOTE],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }
