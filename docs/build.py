"""Build the site of the documentation: ``make docs``.

The pages are those of the repository, so that they are read on GitHub as they are here. The site is built from a copy of them, in which a
link to a file that is no page (code, a manifest, a folder) is its text alone: such files are not on the site.
Zensical builds strictly: a link or an anchor that leads nowhere fails.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / ".dev-docs"
"""What is built; ``html`` is the site, ``pages`` the copy that it is made from."""

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

CODE_OR_LINK = re.compile(
    r"(?P<code>^ *```.*?^ *```|`[^`\n]*`)"
    r"|\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?://|#)(?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


def on_site(text: str, page: Path) -> str:
    """A page's text with each link to a file that is no page replaced by its text. Code stays as it is, and so does a link that leads nowhere."""

    def replaced(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        target = (page.parent / found["target"].partition("#")[0]).resolve()
        return found["text"] if target.exists() and target not in PAGES else found[0]

    return CODE_OR_LINK.sub(replaced, text)


def main() -> int:
    """Copy the pages and build the site; zensical's exit code."""
    shutil.rmtree(SITE, ignore_errors=True)
    for page in PAGES:
        target = SITE / "pages" / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(on_site(page.read_text(), page))
    shutil.copy(ROOT / "docs" / "zensical.toml", SITE)
    zensical = ROOT / ".venv-docs" / "bin" / "zensical"
    return subprocess.run(
        [zensical, "build", "--strict", "--config-file", SITE / "zensical.toml"], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
