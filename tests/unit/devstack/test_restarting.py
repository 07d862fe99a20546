from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from devstack.bootstrap import ROOT
from tests.live.eventually import eventually

NOTES_ITS_START_AND_SLEEPS = "import os, time; open('starts', 'a').write(f'{os.getpid()}\\n'); time.sleep(300)"


class Restarted:
    """A process that runs :mod:`devstack.restarting`. This module starts a program, and starts the
    program again when the program ends.

    Args:
        directory: The working directory. At each start, the program adds its process id to the
            file ``starts`` in this directory.
        trial: How many seconds the program must run after its first start. A program that ends
            earlier is not started again.
    """

    def __init__(self, directory: Path, trial: float) -> None:
        self._starts = directory / "starts"
        arguments = [sys.executable, "-c", NOTES_ITS_START_AND_SLEEPS]
        main = f"import sys; from devstack.restarting import main; sys.exit(main({arguments!r}, {trial}, 0.1))"
        self.process = subprocess.Popen(
            [sys.executable, "-c", main], cwd=directory, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        )

    def program(self, start: int) -> psutil.Process:
        """Wait until the program was started ``start`` times, and return the process of the last of
        these starts.
        """

        def pids() -> list[str]:
            return self._starts.read_text().split() if self._starts.exists() else []

        eventually(lambda: len(pids()) >= start, f"start {start}")
        return psutil.Process(int(pids()[start - 1]))


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    starts = tmp_path / "starts"
    for pid in starts.read_text().split() if starts.exists() else []:
        if psutil.pid_exists(int(pid)):
            psutil.Process(int(pid)).kill()


def test_killed_program_is_started_again(directory: Path) -> None:
    restarted = Restarted(directory, trial=0)
    for start in (1, 2):
        restarted.program(start).kill()
    third = restarted.program(3)
    restarted.process.send_signal(signal.SIGTERM)
    said, _ = restarted.process.communicate(timeout=60)
    assert not third.is_running()
    assert restarted.process.returncode == 128 + signal.SIGTERM
    assert said.count(b"ended with status 137") == 2


def test_program_that_can_not_run_at_all_is_not_started_again(directory: Path) -> None:
    restarted = Restarted(directory, trial=300)
    restarted.program(1).kill()
    said, _ = restarted.process.communicate(timeout=60)
    assert restarted.process.returncode == 128 + signal.SIGKILL
    assert said == b""


def test_status_is_that_of_the_program() -> None:
    program = [sys.executable, str(ROOT / "devstack" / "restarting.py"), sys.executable, "-c", "raise SystemExit(3)"]
    assert subprocess.run(program, check=False, timeout=60).returncode == 3
