"""Builds the site of the documentation: ``make docs``. The build fails if a link leads to a missing
file or a missing anchor of this repository.

The site shows the Markdown pages of the repository, with the changes that :func:`on_site` makes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / ".dev-docs"
"""The folder of the build. ``html`` is the site, and ``pages`` is the copy that the site is built
from.
"""

PAGES = tuple(
    sorted(
        [
            *ROOT.glob("*.md"),
            *(ROOT / "docs").rglob("*.md"),
            *(ROOT / "examples").rglob("*.md"),
            ROOT / "airflow-provider" / "README.md",
            ROOT / "benchmarks" / "README.md",
            ROOT / "charts" / "mljob-operator" / "README.md",
        ]
    )
)
"""Every page that people read, on GitHub and on the site."""

PICTURES = tuple(
    sorted([*(ROOT / "docs" / "pictures").glob("*.png"), *(ROOT / "benchmarks" / "results").glob("*.svg")])
)
"""Every picture of the pages."""

CODE_COMMENT_OR_LINK = re.compile(
    r"(?P<code>^ *```.*?^ *```|`[^`\n]*`)"
    r"|(?P<comment>^ *<!--.*?-->\n+)"
    r"|\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?://|#)(?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def on_site(text: str, page: Path) -> str:
    """Return the text of a page for the site. Comments are removed, except in code. A link to a
    file that is neither a page nor a picture becomes plain text, because the site lacks that file.
    A link to a missing file stays, so that the build fails.
    """

    def replaced(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        if found["comment"]:
            return ""
        target = (page.parent / found["target"].partition("#")[0]).resolve()
        return found["text"] if target.exists() and target not in (*PAGES, *PICTURES) else found[0]

    return CODE_COMMENT_OR_LINK.sub(replaced, text)


def main() -> int:
    """Copy the pages and pictures, build the site, and return zensical's exit code."""
    shutil.rmtree(SITE, ignore_errors=True)
    for page in PAGES:
        target = SITE / "pages" / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(on_site(page.read_text(), page))
    for picture in PICTURES:
        target = SITE / "pages" / picture.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, target)
    shutil.copy(ROOT / "docs" / "zensical.toml", SITE)
    zensical = ROOT / ".venv-docs" / "bin" / "zensical"
    return subprocess.run(
        [zensical, "build", "--strict", "--config-file", SITE / "zensical.toml"], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
