"""Builds etcd, the Kubernetes programs, helm, actionlint, kubeconform, promcheck and Prometheus from
locked Go modules. The machine's Go or a Go from a wheel compiles the programs.

`go/<module>/` has the go.mod and go.sum of a program, so the sources are locked by hash. Go
downloads the sources through the module proxy that the machine is configured for. The downloaded
sources and Go's own caches take gigabytes. They stay in the shared cache (`devstack.caches`) after
an interrupted build, so that the next build can use them. `forget_sources` removes them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from devstack import wheels
from devstack.caches import cache_directory, once, remove_tree, unused, used
from devstack.errors import MissingToolError
from devstack.progress import step

MODULES = Path(__file__).resolve().parent / "go"
OLDEST = (1, 26)
"""The oldest version of Go that can build the modules: the line `go` in their go.mod."""


@dataclass(frozen=True)
class Program:
    """A program to build from Go sources.

    Attributes:
        module: The folder in `go/` whose go.mod pins the sources.
        package: The Go package of the program.
        link: Flags for the linker in addition to `-s -w`.
        tags: Build tags, separated by commas.
    """

    module: str
    package: str
    link: str = ""
    tags: str = ""


def toolchain() -> str:
    """Return the path of the machine's `go` if its version is at least `OLDEST`. Otherwise, return
    the path of `go` from a wheel.
    """
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
    """Compile one program from its Go sources, and write the program to the file `target`.

    Args:
        name: The name of the program in messages about the build.
        program: The program to compile.
        target: The path of the compiled program.

    Raises:
        MissingToolError: The build failed.
    """
    go, cwd = toolchain(), MODULES / program.module
    compiled = 0
    total = 0

    def detail() -> str:
        return f"{min(compiled, total)} of {total} packages" if total else "fetching sources"

    with used(_lock()), step(name, "building from source (once, some minutes)", detail):
        listed = subprocess.run(
            [*_low_priority(), go, "list", "-deps", "-tags", program.tags, program.package],
            cwd=cwd,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        total = len(listed.stdout.splitlines())
        command = [
            *_low_priority(),
            go,
            "build",
            "-v",
            "-trimpath",
            "-tags",
            program.tags,
            # Don't make debug information, because the linker leaves it out (-s -w). This saves a
            # twentieth of the build time.
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
                f"{name} could not be built with {go}:\n{said}\n  Check that the Go module proxy can be reached (GOPROXY), or put the program into the "
                "folder that KUBEBUILDER_ASSETS names."
            )


def built(name: str, program: Program) -> Path:
    """Return the path of a program in the cache. If the cache has no program that was built from
    the current sources, build the program first, and then call `forget_sources`.

    Raises:
        MissingToolError: The program can't be built. The message says why.
    """
    folder = MODULES / program.module
    own = [file for file in sorted(folder.glob("*.go")) if file.name != "tools.go"]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in (folder / "go.sum", *own))).hexdigest()[:12]

    def make(target: Path) -> None:
        target.mkdir()
        build(name, program, target / name)
        forget_sources()

    return once(cache_directory() / "bin" / f"{name}-{digest}", f"building {name}", make) / name


def has_sources() -> bool:
    """Return whether the shared cache has downloaded sources or Go's own caches."""
    return _caches().exists()


def forget_sources() -> None:
    """Remove the downloaded sources and Go's own caches from the shared cache. Remove
    nothing while a process is building a program.
    """
    with unused(_lock()) as nobody_builds:
        if nobody_builds:
            with step("go-caches", "removing Go's sources and caches"):
                remove_tree(_caches())


def _caches() -> Path:
    return cache_directory() / "go-caches"


def _lock() -> Path:
    return cache_directory() / "locks" / "go-caches"


def _low_priority() -> list[str]:
    """Return the beginning of a command that runs a program with low priority: `nice -n 10`. Return
    an empty list if the machine has no `nice`. A build gets a low priority, because it occupies
    every processor for minutes while other components start.
    """
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
