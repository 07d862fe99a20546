"""Decides which test module runs each command in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

from tests.pages import PAGES, ROOT, Block, blocks, commands_in, typed

DOCS = ROOT / "docs"


class Runner(StrEnum):
    LIVE = "tests/e2e/test_docs.py"
    EXAMPLES = "tests/e2e/test_examples.py"
    PEOPLE = "tests/e2e/test_people.py"
    CHART = "tests/chart/test_docs.py"
    LIFECYCLE = "tests/chart/test_lifecycle.py"
    PROVIDER = "tests/airflow/test_docs.py"
    LOCAL = "tests/unit/test_docs_blocks.py"


FIRST_PAGE = ROOT / "README.md"
"""The page that a reader types first. The pages in ``LIVE_PAGES`` look at the job of this page,
repeat it and end it.
"""
LIVE_PAGES = (
    DOCS / "data-scientist.md",
    DOCS / "guides" / "why-it-failed.md",
    DOCS / "guides" / "compare.md",
    DOCS / "operations" / "mljob-api.md",
    DOCS / "spec" / "mljob.md",
    DOCS / "kubectl-mljob.md",
    # This page ends the job.
    DOCS / "guides" / "retry.md",
    DOCS / "spec" / "airflowinstance.md",
    DOCS / "environments" / "astronomer.md",
    DOCS / "environments" / "msk.md",
    DOCS / "environments" / "plain.md",
    DOCS / "operations" / "backup.md",
    DOCS / "operations" / "lost-runs.md",
    ROOT / "charts" / "mljob-operator" / "README.md",
)
"""The pages that a reader types after ``FIRST_PAGE``, in this order."""
EXAMPLE_PAGES = (DOCS / "guides" / "chain.md", DOCS / "guides" / "schedule.md", ROOT / "examples/platform/README.md")
"""The pages about the MLJobs in ``examples/``, in the order in which they are typed."""
PEOPLE_PAGE = DOCS / "guides" / "waiting-for-people.md"

_OF_PAGE = {
    FIRST_PAGE: Runner.LIVE,
    **dict.fromkeys(LIVE_PAGES, Runner.LIVE),
    **dict.fromkeys(EXAMPLE_PAGES, Runner.EXAMPLES),
    PEOPLE_PAGE: Runner.PEOPLE,
}


LIFECYCLE_PAGES = (FIRST_PAGE, *(DOCS / "operations" / f"{name}.md" for name in ("install", "upgrade", "uninstall")))
"""The pages with the commands that install, upgrade and uninstall a release."""
_OF_A_RELEASE = re.compile(
    r"kubectl (create (namespace|secret) |delete (mljobs|crd) |rollout restart )|helm (history|rollback|uninstall) "
)


def runner_of(page: Path, block: Block, line: str) -> Runner | None:
    """Return the test module that runs a command, or None if no module runs the command.

    No module runs the commands of a block with the comment ``not checked``. The modules ``LIVE``,
    ``EXAMPLES`` and ``PEOPLE`` skip a block with the comment ``not run``. The other modules ignore
    the comment ``not run``.

    Args:
        page: The page with the command.
        block: The block with the command.
        line: The command.
    """
    if block.why_unchecked:
        return None
    first: Sequence[str] = next(iter(commands_in(line)))
    if first[0] == "helm" and first[1] in ("install", "upgrade"):
        return Runner.CHART
    if first[0] == "mljob-airflow" and " | " not in line:
        return Runner.PROVIDER
    if re.match(r"printf |make help\b", line):
        return Runner.LOCAL
    if line in _lines_of_a_release():
        return Runner.LIFECYCLE
    return None if block.why_not_run else _OF_PAGE.get(page)


def lines_of(runner: Runner, *pages: Path) -> Iterator[tuple[Path, Block, str]]:
    for page in pages or PAGES:
        for block in blocks(page, "console"):
            for line in typed(block):
                if runner_of(page, block, line) is runner:
                    yield page, block, line


@cache
def _lines_of_a_release() -> frozenset[str]:
    lines = [line for page in LIFECYCLE_PAGES for block in blocks(page, "console") for line in typed(block)]
    return frozenset(line for line in lines if _OF_A_RELEASE.match(line))
