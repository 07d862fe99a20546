"""The discovery documents of mljob-api, which is an aggregated API server. The Kubernetes API
server and kubectl read these documents.

Source: ``metav1.APIGroupList``, ``APIGroup`` and ``APIResourceList``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mljob_contract.mljob import KIND, PLURAL
from mljob_contract.run_api import RUN_API_VERSION, RUN_GROUP, RUN_VERSION, RunSubresource

_VERSION = {"groupVersion": RUN_API_VERSION, "version": RUN_VERSION}
_GROUP = {"name": RUN_GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}

VERBS = {
    RunSubresource.LOG: ["get"],
    RunSubresource.EVENTS: ["get", "watch"],
    RunSubresource.GRAPH: ["get"],
}
"""The verbs of each subresource."""
GROUP_LIST: Mapping[str, Any] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]}
GROUP: Mapping[str, Any] = {"kind": "APIGroup", "apiVersion": "v1", **_GROUP}
RESOURCE_LIST: Mapping[str, Any] = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": RUN_API_VERSION,
    "resources": [
        {"name": f"{PLURAL}/{subresource}", "singularName": "", "namespaced": True, "kind": KIND, "verbs": verbs}
        for subresource, verbs in VERBS.items()
    ],
}
