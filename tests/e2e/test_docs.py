"""The commands in README.md and on the pages ``LIVE_PAGES`` of ``tests/page_runners.py`` succeed."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.live.kubectl import Kubectl
from tests.live.page_shell import PageShell
from tests.page_runners import FIRST_PAGE, LIVE_PAGES, Runner
from tests.pages import ROOT

BOUND = 330
"""The maximum number of seconds for the commands of one block. A page waits for its job for at most
five minutes.
"""

pytestmark = pytest.mark.timeout(2 * BOUND)


@pytest.fixture(scope="module")
def shell(
    new_installation: NewInstallation, stack: Stack, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> PageShell:
    # mljob-api of the stack shows runs with this prefix.
    namespace = new_installation("docs", MLJOB_RUN_ID_PREFIX="mljob").jobs.namespace
    return PageShell(stack, kubectl, namespace, tmp_path_factory.mktemp("reader"), BOUND)


@pytest.fixture(scope="module")
def first_page(shell: PageShell) -> str:
    """The output of README.md's commands. The other pages need the MLJob of README.md."""
    return shell.types(Runner.LIVE, FIRST_PAGE)


def test_first_job_succeeds_and_shows_its_result(first_page: str) -> None:
    assert '"accuracy":' in first_page


@pytest.mark.parametrize("page", LIVE_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.usefixtures("first_page")
def test_commands_of_each_page_succeed(page: Path, shell: PageShell) -> None:
    shell.types(Runner.LIVE, page)
