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
    """A subresource of an MLJob in the group. The verb is ``get``, and for events also ``watch``."""

    LOG = "log"
    """The log of a task, as plain text. Parameters: ``task``, ``mapIndex``, ``try``, ``attempt``,
    ``tail`` and ``follow``."""
    EVENTS = "events"
    """The history of the run, as JSON lines (:mod:`mljob_contract.history`). Parameters:
    ``attempt``, ``after`` and ``follow``."""
    GRAPH = "graph"
    """The tasks of the run and their edges, as JSON (:mod:`mljob_contract.graph`). Parameter:
    ``attempt``."""


LOG_NOTICE: Final = "### mljob-api: "
"""Begins a line that mljob-api itself has written into a log, such as the reason why the log ends."""


def run_path(namespace: str, name: str, subresource: RunSubresource, *, watch: bool = False) -> str:
    """Return the path of a subresource at the Kubernetes API server, without parameters.

    Args:
        namespace: The namespace of the MLJob.
        name: The name of the MLJob.
        subresource: The subresource.
        watch: Whether the answer goes on until the run has ended. Only events can be watched. The
            log is followed with the parameter ``follow``.
    """
    prefix = "watch/" if watch else ""
    of_job = f"namespaces/{quote(namespace, safe='')}/mljobs/{quote(name, safe='')}"
    return f"/apis/{RUN_API_VERSION}/{prefix}{of_job}/{subresource}"
