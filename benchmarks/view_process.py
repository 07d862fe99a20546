"""Serves the web pages about MLJobs for the benchmark :mod:`benchmarks.view`.

The command is ``python -m benchmarks.view_process URL``, with the URL of the Kubernetes API. In a
cluster, a proxy adds a bearer token to each request for a page. The benchmark has no proxy, and
sends the tokens itself.
"""

from __future__ import annotations

import asyncio
import sys

from mljob.kubeconfig import ClusterConfig
from mljob.view.server import serve_behind_proxy


def _started(url: str) -> None:
    print(url, flush=True)


if __name__ == "__main__":
    asyncio.run(serve_behind_proxy(ClusterConfig(sys.argv[1]), "127.0.0.1", 0, frozenset(), _started))
