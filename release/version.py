"""Writes the version from the file ``VERSION`` to the files that repeat the version (``make
generate``). With ``--check`` (``make verify``), the command fails if a file has another version.

Each Python package and the chart repeat the version, because a build reads only the files of its
package or chart. Examples in the documentation contain the version as the tag of the image.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "VERSION"
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
"""The form of a version: three numbers. Only this form means the same to Python packages (PEP 440)
and to Helm (SemVer). For example, a release candidate is ``1.0.0rc1`` for Python and ``1.0.0-rc.1``
for Helm.
"""

PACKAGE = r'^(version = ")[^"]*(")$'
DEPENDENCY = r'^(  "mljob-contract==)[^"]*(",)$'
"""The pattern of the line in which operator, client and provider require the contract. They require
the same version, because they exchange the contract's types.
"""

STATED = {
    "contract/pyproject.toml": (PACKAGE,),
    "operator/pyproject.toml": (PACKAGE, DEPENDENCY),
    "client/pyproject.toml": (PACKAGE, DEPENDENCY),
    "airflow-provider/pyproject.toml": (PACKAGE, DEPENDENCY),
    "airflow-provider/src/mljob_airflow/__init__.py": (r'^(__version__ = ")[^"]*(")$',),
    "charts/mljob-operator/Chart.yaml": (r"^(version: ).*()$", r'^(appVersion: ").*(")$'),
}
"""The patterns of the lines that state the version, by file. Each line must be in the file exactly
one time.
"""

IN_PAGES = r"(mljob-operator:|^ +tag: )\d+\.\d+\.\d+"
"""The pattern of the image's tag in the examples of a page. A page may have any number of
examples.
"""


class VersionError(Exception):
    """The file ``VERSION`` has no valid version. Or another file lacks or repeats a line that must
    state the version. The message names the file.
    """


def read(root: Path = ROOT) -> str:
    """Return the version of this source tree.

    Raises:
        VersionError: The content of the file ``VERSION`` is not three numbers.
    """
    text = (root / SOURCE).read_text().strip()
    if not VERSION.fullmatch(text):
        raise VersionError(f"{SOURCE} holds {text!r}: write three numbers with dots between them, for example 0.2.0")
    return text


def with_version(path: str, text: str, version: str) -> str:
    """Return the text of a file, with ``version`` in the lines that state the version.

    Args:
        path: The file's path, which is a key of ``STATED``.
        text: The text of the file.
        version: The version to write.

    Raises:
        VersionError: A line that states the version is missing, or is in the text several times.
    """
    for pattern in STATED[path]:
        text, found = re.subn(pattern, rf"\g<1>{version}\g<2>", text, flags=re.MULTILINE)
        if found != 1:
            raise VersionError(f"{path} has {found} lines that match {pattern}, and needs one to state the version in")
    return text


def expected(root: Path = ROOT) -> dict[Path, str]:
    """Return the text that each file should have: the file's text with the version from the file
    ``VERSION``. The keys are the paths of the files in ``STATED``, and of the pages of the
    documentation.

    Raises:
        VersionError: The content of ``VERSION`` is invalid, or a file of ``STATED`` lacks or
            repeats a line that states the version.
    """
    version = read(root)
    files = {root / path: with_version(path, (root / path).read_text(), version) for path in STATED}
    for page in [root / "README.md", *root.glob("charts/**/*.md"), *root.glob("docs/**/*.md")]:
        files[page] = re.sub(IN_PAGES, rf"\g<1>{version}", page.read_text(), flags=re.MULTILINE)
    return files


def main(arguments: Sequence[str]) -> int:
    """Write the version to the files that have another version. With ``--check``, only print the
    names of these files.

    Return the exit status: 1 after a :class:`VersionError`, or if ``--check`` finds a file with
    another version, and otherwise 0.
    """
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
