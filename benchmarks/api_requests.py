"""Counts the requests that the Kubernetes API server has answered, from the API server's metrics."""

from __future__ import annotations

import re
from collections import Counter

from benchmarks.servers import Cluster
from mljob_contract.mljob import PLURAL

_LINE = re.compile(r"^apiserver_request_total\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
EVENTS = "events"


def counted(cluster: Cluster) -> Counter[str]:
    """Return how many requests about MLJobs and Events the API server has answered since its start,
    by kind:

    - ``status patches``: patches of the status of MLJobs.
    - ``finalizer patches``: all other patches of MLJobs, mostly of finalizers.
    - ``gets``: reads of a single MLJob.
    - ``events``: requests to create an Event.
    - ``conflicts``: requests of the above kinds with the answer 409. They also count as their kind.
    - ``throttled``: the same for the answer 429.
    - ``timeouts``: the same for the answer 504.
    """
    return kinds(cluster.metrics())


def kinds(metrics: str) -> Counter[str]:
    """Return the same counts as :func:`counted`, read from the text of the API server's metrics."""
    found: Counter[str] = Counter()
    for labels, value in _LINE.findall(metrics):
        label = dict(_LABEL.findall(labels))
        kind = _kind(label)
        if kind is not None:
            found[kind] += int(float(value))
            problem = {"409": "conflicts", "429": "throttled", "504": "timeouts"}.get(label.get("code", ""))
            if problem is not None:
                found[problem] += int(float(value))
    return found


def _kind(label: dict[str, str]) -> str | None:
    verb, resource = label.get("verb"), label.get("resource")
    if resource == EVENTS and verb == "POST":
        return "events"
    if resource != PLURAL:
        return None
    if verb == "PATCH":
        return "status patches" if label.get("subresource") == "status" else "finalizer patches"
    return "gets" if verb == "GET" else None
