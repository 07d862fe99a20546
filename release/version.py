"""Write the version from ``VERSION`` to the files that repeat it: ``make generate``; ``--check`` (``make verify``) fails on a difference.

A package, the chart and Airflow's list of providers each state the version in a file of their own, and a build reads only that file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "VERSION"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
"""Three numbers. Only this form means the same to Python packages (PEP 440) and to Helm (SemVer): a release candidate is
``1.0.0rc1`` to one and ``1.0.0-rc.1`` to the other."""

PACKAGE = r'^(version = ")[^"]*(")$'
DEPENDENCY = r'^(  "mljob-contract==)[^"]*(",)$'
"""The wheels of one release belong together: the contract's types are what operator and provider exchange."""

STATED = {
    "contract/pyproject.toml": (PACKAGE,),
    "operator/pyproject.toml": (PACKAGE, DEPENDENCY),
    "airflow-provider/pyproject.toml": (PACKAGE, DEPENDENCY),
    "airflow-provider/src/mljob_airflow/__init__.py": (r'^(__version__ = ")[^"]*(")$',),
    "charts/mljob-operator/Chart.yaml": (r"^(version: ).*()$", r'^(appVersion: ").*(")$'),
}
"""By file, the lines that state the version. Each stands in the file once."""

IN_PAGES = r"(mljob-operator:|^ +tag: )\d+\.\d+\.\d+"
"""The image's tag in examples. A page may have any number of them."""


class VersionError(Exception):
    """The version can't be read or written; the message names the file and what it has to hold."""


def read(root: Path = ROOT) -> str:
    """The version of this source tree.

    Raises:
        VersionError: ``VERSION`` holds something else than three numbers.
    """
    text = (root / SOURCE).read_text().strip()
    if not VERSION.fullmatch(text):
        raise VersionError(f"{SOURCE} holds {text!r}: write three numbers with dots between them, for example 0.2.0")
    return text


def with_version(path: str, text: str, version: str) -> str:
    """The text of one of the files in ``STATED``, with the version in its lines.

    Raises:
        VersionError: A line is not there, or is there more than once.
    """
    for pattern in STATED[path]:
        text, found = re.subn(pattern, rf"\g<1>{version}\g<2>", text, flags=re.MULTILINE)
        if found != 1:
            raise VersionError(f"{path} has {found} lines that match {pattern}, and needs one to state the version in")
    return text


def expected(root: Path = ROOT) -> dict[Path, str]:
    """What each file has to hold, by path.

    Raises:
        VersionError: ``VERSION`` or one of the files does not fit.
    """
    version = read(root)
    files = {root / path: with_version(path, (root / path).read_text(), version) for path in STATED}
    for page in [root / "README.md", *root.glob("charts/**/*.md"), *root.glob("docs/**/*.md")]:
        files[page] = re.sub(IN_PAGES, rf"\g<1>{version}", page.read_text(), flags=re.MULTILINE)
    return files


def main(arguments: Sequence[str]) -> int:
    """Write the files; with ``--check`` name those that differ, and return 1."""
    try:
        differing = {path: text for path, text in expected().items() if path.read_text() != text}
    except VersionError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    for path, text in differing.items():
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            print(
                f"{name} states another version than {SOURCE}: run `make generate` and commit the result",
                file=sys.stderr,
            )
        else:
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if differing and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
