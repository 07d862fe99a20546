"""The kubectl commands on the first pages of the documentation work: they run one after the other,
as a reader types them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.live.plugin import plugin_environment, write_kubeconfig
from tests.page_runners import LIVE_PAGES, Runner, lines_of
from tests.pages import ROOT

FIRST_JOB, *THEN = LIVE_PAGES
BOUND = 330
"""Seconds for one command; the first page waits for its job for five minutes at most."""

pytestmark = pytest.mark.timeout(2 * BOUND)

Run = Callable[[str], str]


@pytest.fixture(scope="module")
def run(new_installation: NewInstallation, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A function that runs a command in a shell whose kubectl uses the stack, in a namespace with
    an operator.

    The operator has the prefix of mljob-api. The pages read logs of the namespace ``default``.
    """
    namespace = new_installation("docs", MLJOB_RUN_ID_PREFIX="mljob").jobs.namespace
    kubeconfig = tmp_path_factory.mktemp("kube") / "config"
    environment = plugin_environment(write_kubeconfig(stack.kubeconfig, kubeconfig, namespace))

    def typed_into_a_shell(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line.replace("/namespaces/default/", f"/namespaces/{namespace}/")],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    return typed_into_a_shell


@pytest.fixture(scope="module")
def outputs(run: Run) -> list[str]:
    """The output of the first page's commands after its job has succeeded."""
    return [run(line) for line in commands_of(FIRST_JOB)]


def commands_of(page: Path) -> list[str]:
    """Return the commands of a page that run on the stack."""
    return [line for _, _, line in lines_of(Runner.LIVE, page)]


def test_first_job_succeeds_and_shows_its_result(outputs: list[str]) -> None:
    assert any('"accuracy":' in printed for printed in outputs)


@pytest.mark.parametrize("page", THEN, ids=lambda page: page.stem)
@pytest.mark.usefixtures("outputs")
def test_commands_of_each_guide_succeed(page: Path, run: Run) -> None:
    assert commands_of(page)
    for line in commands_of(page):
        run(line)
