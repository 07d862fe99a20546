"""``kubectl mljob``: a plugin of kubectl for those who run MLJobs.

kubectl finds the program ``kubectl-mljob`` on ``PATH``. The plugin has what kubectl lacks: it starts,
follows, explains, repeats and compares MLJobs. It uses the person's kubeconfig, and has no rights of
its own.

A command imports what it needs when it runs, so that ``--help`` and completion answer at once.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, and end the process with its exit code (:mod:`mljob.cli.exits`)."""
    from .app import run

    sys.exit(run(sys.argv[1:]))
