"""Which test runs a command in a console block of the documentation.

Each of these tests takes its commands from here, so a command that has a runner is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from pathlib import Path

from tests.pages import PAGES, ROOT, Block, blocks, commands_in, typed

DOCS = ROOT / "docs"


class Runner(StrEnum):
    """A test that runs commands of the pages."""

    LIVE = "tests/e2e/test_docs.py"
    CHART = "tests/chart/test_docs.py"
    LIFECYCLE = "tests/chart/test_lifecycle.py"
    PROVIDER = "tests/airflow/test_docs.py"
    LOCAL = "tests/unit/test_docs_blocks.py"


LIVE_PAGES = (DOCS / "data-scientist.md", DOCS / "guides" / "why-it-failed.md", DOCS / "guides" / "compare.md")
"""The pages whose kubectl commands a reader types, in this order."""
LIFECYCLE_PAGES = (
    ROOT / "README.md",
    *(DOCS / "operations" / f"{name}.md" for name in ("install", "upgrade", "uninstall")),
)
"""The pages that bring a release to the cluster, and end it."""
_OF_A_RELEASE = re.compile(
    r"kubectl (create (namespace|secret) |delete (mljobs|crd) |rollout restart )|helm (history|rollback|uninstall) "
)


def runner_of(page: Path, block: Block, line: str) -> Runner | None:
    """Return the test that runs a line of a console block, or None if no test does.

    A block that says why it is not run is typed on no stack, because its commands belong together.
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
    if page in LIVE_PAGES and line.startswith("kubectl ") and not block.why_not_run:
        return Runner.LIVE
    return None


def lines_of(runner: Runner, *pages: Path) -> Iterator[tuple[Path, Block, str]]:
    """Yield what a test runs on these pages: each line with its page and its block. Without pages,
    yield the lines of all pages.
    """
    for page in pages or PAGES:
        for block in blocks(page, "console"):
            for line in typed(block):
                if runner_of(page, block, line) is runner:
                    yield page, block, line


@cache
def _lines_of_a_release() -> frozenset[str]:
    """Return the commands that bring a release to the cluster, change it and end it. Where another
    page repeats one of them, it is not run again.
    """
    lines = [line for page in LIFECYCLE_PAGES for block in blocks(page, "console") for line in typed(block)]
    return frozenset(line for line in lines if _OF_A_RELEASE.match(line))
