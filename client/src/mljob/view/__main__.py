"""The view in a cluster, behind an OIDC proxy: ``python -m mljob.view``. On a person's own machine,
``kubectl mljob ui`` starts the view.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from ..errors import ConfigError
from ..kubeconfig import SERVICE_ACCOUNT, ClusterConfig
from .server import serve_behind_proxy


def _port() -> int:
    text = os.environ.get("MLJOB_VIEW_PORT", "8080")
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"MLJOB_VIEW_PORT: {text[:40]!r} is not a port from 1 to 65535.")
    return int(text)


def _hosts() -> frozenset[str]:
    given = os.environ.get("MLJOB_VIEW_HOSTS", "")
    hosts = frozenset(host for part in given.split(",") if (host := part.strip().lower()))
    if not hosts:
        raise ConfigError(
            "MLJOB_VIEW_HOSTS is empty. Set it to the host names under which people open the view, separated by "
            "commas, such as mljobs.example.com."
        )
    return hosts


def _cluster() -> ClusterConfig:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ConfigError("python -m mljob.view runs in a pod. On your machine, use kubectl mljob ui.")
    path = Path(os.environ.get("MLJOB_VIEW_CA_FILE", SERVICE_ACCOUNT / "ca.crt"))
    try:
        ca = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"MLJOB_VIEW_CA_FILE: {path}: {error.strerror}. Mount the ConfigMap kube-root-ca.crt, which has the CA of "
            "the API server."
        ) from None
    return ClusterConfig(f"https://{f'[{host}]' if ':' in host else host}:{port}", ca=ca)


def main() -> int:
    """Serve the view until SIGTERM. Return 2 if a setting is wrong, or if the process does not run
    in a pod.

    Environment variables:

    - ``MLJOB_VIEW_HOSTS``: the host names under which people open the view, separated by commas.
      Required. Except for health probes, the view refuses requests whose Host header has another
      host name.
    - ``MLJOB_VIEW_HOST``: the address to listen on. Default: 0.0.0.0.
    - ``MLJOB_VIEW_PORT``: the port. Default: 8080.
    - ``MLJOB_VIEW_CA_FILE``: the path of a file with the certificate authority of the Kubernetes
      API server. Default: ``/var/run/secrets/kubernetes.io/serviceaccount/ca.crt``.

    Raises:
        OSError: The server can't listen on the address.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config, port, hosts = _cluster(), _port(), _hosts()
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks to a terminal
        return 2
    host = os.environ.get("MLJOB_VIEW_HOST", "0.0.0.0")  # noqa: S104 - a pod's Service reaches all its addresses
    asyncio.run(serve_behind_proxy(config, host, port, hosts, lambda url: logging.info("The view listens on %s", url)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
