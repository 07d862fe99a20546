"""Serves the web pages about MLJobs for a benchmark: ``python -m benchmarks.view_process URL``.
``URL`` is the URL of the Kubernetes API. The benchmark sends its requests directly, without a
proxy.
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
