"""Finds Chromium for the tests of the web view and for screenshots.

If PATH has a Chromium or a Google Chrome, this module returns that program. Otherwise this module
downloads the npm package `@sparticuz/chromium` into the cache (`devstack.caches`), unless the cache
already has the package. The package has a Chromium for Linux on amd64 that needs no system
packages. `npm/chromium.txt` pins the package by version and hash.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from devstack.caches import cache_directory, once
from devstack.errors import MissingToolError
from devstack.progress import step

LOCK = Path(__file__).resolve().parent / "npm" / "chromium.txt"
ON_PATH = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--no-zygote",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
"""Arguments of Chromium on a machine without a user session: containers and continuous
integration run as root, where Chromium's sandbox does not start.
"""
_MEMBERS = {
    "package/bin/chromium.br": "chromium",
    "package/bin/al2023.tar.br": "libraries",
    "package/bin/fonts.tar.br": "fonts",
}
FETCH_SECONDS = 300
"""The maximum time for npm to fetch the package of 70 MB, in seconds."""


def program() -> Path:
    """Return the path of a Chromium or Google Chrome on PATH. If PATH has neither, return the path
    of the Chromium of the npm package `@sparticuz/chromium`. The package is downloaded unless the
    cache (`devstack.caches`) has the package.

    Raises:
        MissingToolError: The npm package can't be downloaded, or its hash is not the pinned hash.
    """
    for name in ON_PATH:
        if found := shutil.which(name):
            return Path(found)
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    return once(cache_directory() / f"chromium-{digest}", "fetching Chromium", _fetch) / "chromium"


def environment(chromium: Path) -> dict[str, str]:
    """Return the environment variables with which to start the Chromium at this path. For the
    Chromium of the npm package, `LD_LIBRARY_PATH` begins with the folder of the package's
    libraries.
    """
    libraries = chromium.parent / "libraries" / "lib"
    if not libraries.is_dir():
        return dict(os.environ)
    path = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": f"{libraries}:{path}" if path else str(libraries)}


def _fetch(target: Path) -> None:
    target.mkdir()
    package, integrity = LOCK.read_text().split()
    with step("chromium", f"fetching {package} with npm"):
        archive = _packed(package, target)
        algorithm, _, expected = integrity.partition("-")
        found = base64.b64encode(hashlib.new(algorithm, archive.read_bytes()).digest()).decode()
        if found != expected:
            raise MissingToolError(f"{package} has the hash {algorithm}-{found}, and {LOCK.name} pins {integrity}")
        _unpack(archive, target)
        archive.unlink()


def _packed(package: str, target: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise MissingToolError(
            "Chromium is missing. Install chromium (Debian: apt-get install chromium), or npm, which fetches one"
        )
    try:
        done = subprocess.run(
            [npm, "pack", "--silent", "--pack-destination", str(target), package],
            capture_output=True, text=True, timeout=FETCH_SECONDS, check=False, cwd=target,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise MissingToolError(f"npm did not fetch {package} within {FETCH_SECONDS} seconds") from None
    archives = list(target.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise MissingToolError(f"npm can't fetch {package}: {done.stderr.strip()[-500:] or 'no reason given'}")
    return archives[0]


def _unpack(archive: Path, target: Path) -> None:
    # brotli is installed with the development tools only, and the stack imports this module.
    import brotli

    with tarfile.open(archive) as package:
        for member, name in _MEMBERS.items():
            packed = package.extractfile(member)
            if packed is None:
                raise MissingToolError(f"{LOCK.name}: the package has no {member}")
            content = brotli.decompress(packed.read())
            if member.endswith(".tar.br"):
                _unpack_tree(content, target / name)
            else:
                (target / name).write_bytes(content)
                (target / name).chmod(0o755)


def _unpack_tree(content: bytes, target: Path) -> None:
    target.mkdir()
    with tarfile.open(fileobj=io.BytesIO(content)) as files:
        files.extractall(target, filter="data")
