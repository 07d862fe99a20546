"""The API group of an MLJob's run, ``run.mljob.dev/v1alpha1``: the log, the events and the graph.

The Kubernetes API server proxies requests for this group to mljob-api, the aggregated API server
(docs/adr/0032-aggregated-api.md). An MLJob of ``mljob.dev`` and its subresources here have the same
namespace and name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final
from urllib.parse import quote

RUN_GROUP: Final = "run.mljob.dev"
"""The API group."""
RUN_VERSION: Final = "v1alpha1"
"""The version of the API group."""
RUN_API_VERSION: Final = f"{RUN_GROUP}/{RUN_VERSION}"
"""The value of ``apiVersion`` in answers."""


class RunSubresource(StrEnum):
    """A subresource of an MLJob in the group. The only verb is ``get``."""

    LOG = "log"
    """The log of a task, as plain text. Parameters: ``task``, ``mapIndex``, ``try``, ``attempt``,
    ``tail`` and ``follow``."""
    EVENTS = "events"
    """The history of the run, as JSON lines (:mod:`mljob_contract.history`). Parameters:
    ``attempt`` and ``follow``."""
    GRAPH = "graph"
    """The tasks of the run and their edges, as JSON (:mod:`mljob_contract.graph`). Parameter:
    ``attempt``."""


def run_path(namespace: str, name: str, subresource: RunSubresource) -> str:
    """Return the path of a subresource at the Kubernetes API server, without parameters."""
    return f"/apis/{RUN_API_VERSION}/namespaces/{quote(namespace, safe='')}/mljobs/{quote(name, safe='')}/{subresource}"
