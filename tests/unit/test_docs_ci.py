"""The documentation says correctly what continuous integration runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pages import ROOT

STATEMENT = r"Continuous integration runs (.*?)\. All of it"
"""A pattern for the sentence of CONTRIBUTING.md that lists what continuous integration runs."""


def jobs() -> dict[str, Any]:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    return dict(workflow["jobs"])


def commands_of(job: dict[str, Any]) -> set[str]:
    scripts = " ; ".join(step["run"] for step in job["steps"] if "run" in step)
    scripts = scripts.replace(".ci/run", (ROOT / ".ci" / "run").read_text())
    return set(re.findall(r"^make [a-z-]+|(?<=; )make [a-z-]+", scripts, re.MULTILINE))


def pythons_of(job: dict[str, Any]) -> set[str]:
    matrix = job.get("strategy", {}).get("matrix", {}).get("python", [])
    fixed = [step.get("with", {}).get("python-version", "") for step in job["steps"]]
    return {version for version in (*matrix, *fixed) if re.fullmatch(r"3\.\d+", version)}


def versions_in(text: str) -> set[str]:
    return set(re.findall(r"\b3\.\d+\b", text))


def text_of(page: Path) -> str:
    return " ".join(page.read_text().split())


def test_contributing_lists_the_commands_of_continuous_integration() -> None:
    statement = re.search(STATEMENT, text_of(ROOT / "CONTRIBUTING.md"))
    assert statement
    run = set().union(*(commands_of(job) for job in jobs().values()))
    assert set(re.findall(r"`(make [a-z-]+)`", statement[1])) == run
    assert {"make docs", "make test", "make test-fast"} <= run


@pytest.mark.parametrize(("job", "command"), [("fast", "make test-fast"), ("live", "make test")])
def test_the_pages_name_the_versions_of_python_that_a_job_uses(job: str, command: str) -> None:
    used = jobs()[job]
    assert commands_of(used) == {command}
    statement = re.search(STATEMENT, text_of(ROOT / "CONTRIBUTING.md"))
    assert statement
    # A version stands between its command and the next one.
    told = re.search(rf"`{command}` ([^`]*)", statement[1])
    assert told
    assert versions_in(told[1]) == pythons_of(used)


def test_compatibility_tells_the_tested_versions_of_python() -> None:
    row = re.search(r"^\| Python \| [^|]+ \| (.*) \|$", (ROOT / "docs" / "compatibility.md").read_text(), re.MULTILINE)
    assert row
    every_test, _, fast_only = row[1].partition(" by every test. ")
    assert versions_in(every_test) == pythons_of(jobs()["live"])
    assert versions_in(fast_only) == pythons_of(jobs()["fast"]) - pythons_of(jobs()["live"])
    assert "`make test-fast`" in fast_only
