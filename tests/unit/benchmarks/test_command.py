"""The command ``make bench``, and the list of benchmarks in benchmarks/README.md."""

from __future__ import annotations

import os
import re
import shlex
import subprocess

import pytest

from benchmarks.__main__ import PARTS, _parser
from tests.pages import ROOT


def make(*arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment.pop("ONLY", None)
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["ONLY=step"], ["step"]),
        (["ONLY=step,fold"], ["step", "fold"]),
        (["ONLY=step fold"], ["step", "fold"]),
        (["ONLY=step, fold"], ["step", "fold"]),
        ([], list(PARTS)),
    ],
)
def test_make_bench_runs_the_chosen_benchmarks(given: list[str], expected: list[str]) -> None:
    command = shlex.split(make("--dry-run", "bench", *given).splitlines()[-1])
    assert command[:3] == [".venv/bin/python", "-m", "benchmarks"]
    assert list(_parser().parse_args(command[3:]).only) == expected


def test_help_says_how_to_choose_benchmarks() -> None:
    assert re.search(r"^ +make bench .*\bONLY=step\b", make("help"), re.MULTILINE)


def test_the_page_names_each_benchmark() -> None:
    listed = re.search(r"^The benchmarks are (.*?)\. ", (ROOT / "benchmarks" / "README.md").read_text(), re.S | re.M)
    assert listed
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == PARTS
