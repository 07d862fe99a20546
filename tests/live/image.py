"""Starts processes under the restrictions of the chart's Pods, without a container runtime. Each
process has a mount namespace of its own, which only root can create.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from devstack import bootstrap

ROOT = Path(__file__).resolve().parents[2]
USER = 65532
HOME = Path("/opt")
"""The folder of the image's content, in the mount namespace."""
PROGRAMS = ("unshare", "mount", "setpriv")

_MOUNTS = """
mount --make-rprivate /
mount --bind "$1" /opt
mount -t tmpfs -o mode=1777,size=64m tmpfs /tmp
mount -o remount,bind,ro /opt
mount -o remount,bind,ro /
shift
cd /tmp
exec setpriv --reuid=65532 --regid=65532 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""


def missing() -> str:
    """Return why this machine can't run :func:`start`, or an empty string."""
    if os.geteuid() != 0:
        return "not root"
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)}"
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


def install(target: Path, lock: str, *packages: str) -> None:
    """Install packages of this repository and the packages of a lock file, as the Dockerfile does.

    Args:
        target: The folder to create. :func:`start` takes this folder as ``content``.
        lock: The name of a file in ``requirements/``.
        packages: Folders of this repository, each with a ``pyproject.toml``.
    """
    content, variables = target / "packages", bootstrap.uv_environment()
    wheels = target.with_name(f"{target.name}-wheels")
    for package in packages:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)],
            cwd=ROOT / package, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    to = ("--quiet", "--no-deps", "--python", sys.executable, "--target", str(content))
    pip = (bootstrap.uv(), "pip", "install", *to)
    for wanted in (
        ("--require-hashes", "-r", str(ROOT / "requirements" / lock)),
        tuple(map(str, wheels.glob("*.whl"))),
    ):
        subprocess.run([*pip, *wanted], check=True, capture_output=True, timeout=300, env=variables)
    _share(target)


def _share(target: Path) -> None:
    """Let every user read the folder, as in an image."""
    for folder, _, files in os.walk(target):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            path.chmod(path.stat().st_mode | 0o444)


def start(
    content: Path, arguments: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start Python under the restrictions of the chart's Pods.

    Args:
        content: The folder that the process has as ``/opt``.
        arguments: The arguments of Python. Python gets no packages from the folders of its
            installation, where a Linux distribution may have packages that the image lacks.
        environment: Environment variables of the process, in addition to those that this function
            sets.
        log: The file for the output of the process.
    """
    of_image = {
        "PATH": os.environ["PATH"],
        "HOME": "/tmp",
        "PYTHONPATH": str(HOME / "packages"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    python = bootstrap.base_python()
    command = ["unshare", "--mount", "bash", "-ec", _MOUNTS, "bash", str(content), python, "-S", *arguments]
    with log.open("wb") as out:
        return subprocess.Popen(
            command, env=of_image | dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
