"""``kubectl mljob``: a plugin of kubectl for people who run MLJobs.

kubectl finds the program ``kubectl-mljob`` on ``PATH``. The plugin uses the person's kubeconfig,
and has only the person's rights.

Modules are imported inside functions, so that ``--help`` and completion answer at once.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line. End the process with the exit code of the command
    (:mod:`mljob.cli.exits`).
    """
    # The many objects of imports are no garbage, and looking for garbage among them takes time.
    gc.set_threshold(50_000)
    from .app import run

    sys.exit(run(sys.argv[1:]))
