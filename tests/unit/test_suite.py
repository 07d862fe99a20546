"""The runner of the whole test suite, ``tests/suite.py``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Thread

from tests.live.eventually import eventually
from tests.suite import LONGEST_MESSAGE, Part, Result, Suite, _set_niceness, _tests, summary

WAITS_FOR_FILE = (
    "import pathlib, sys, time; ready = pathlib.Path(sys.argv[1])\nwhile not ready.exists(): time.sleep(0.01)"
)
MAKES_FILE = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
REPORT = """<testsuites><testsuite>
<testcase classname="tests.a" name="test_one" time="1.5"/>
<testcase classname="tests.a" name="test_two" time="0.5"><failure message="no"/></testcase>
<testcase classname="tests.a" name="test_three" time="0.0"><skipped/></testcase>
</testsuite></testsuites>"""


def python(program: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, *arguments)


def test_lanes_run_side_by_side_and_parts_of_a_lane_in_turn(tmp_path: Path) -> None:
    ready = str(tmp_path / "ready")
    lanes = (
        (Part("waits", (python(WAITS_FOR_FILE, ready),)),),
        (Part("first", ()), Part("makes", (python(MAKES_FILE, ready),))),
    )

    results = Suite(lanes, tmp_path / "results").run()

    assert [(result.part.name, result.failed) for result in results] == [("waits", []), ("first", []), ("makes", [])]


def test_part_begins_after_a_part_of_another_lane(tmp_path: Path) -> None:
    made = tmp_path / "made"
    exists = "import pathlib, sys; sys.exit(not pathlib.Path(sys.argv[1]).exists())"
    lanes = (
        (Part("second", (python(exists, str(made)),), after="first"),),
        (Part("first", (python("pass"), python(MAKES_FILE, str(made)))),),
    )

    results = Suite(lanes, tmp_path / "results").run()

    assert [(result.part.name, result.failed) for result in results] == [("second", []), ("first", [])]


def test_niceness_applies_to_the_whole_session_of_a_part() -> None:
    with subprocess.Popen(["sleep", "300"], start_new_session=True) as process:
        _set_niceness(process.pid, 7)
        niceness = os.getpriority(os.PRIO_PROCESS, process.pid)
        autogroup = Path(f"/proc/{process.pid}/autogroup")
        of_session = autogroup.read_text().split()[-1] if autogroup.exists() else "7"
        process.kill()

    assert (niceness, of_session) == (7, "7")


def test_other_commands_run_after_a_failed_command(tmp_path: Path) -> None:
    made = tmp_path / "made"
    part = Part("both", (python("raise SystemExit(3)"), python(MAKES_FILE, str(made))))

    [result] = Suite(((part,),), tmp_path / "results").run()

    assert made.exists()
    assert len(result.failed) == 1
    assert "SystemExit(3)" in result.failed[0]


def test_report_contains_each_test_with_its_time_and_outcome(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)

    assert list(_tests(report)) == [
        ("tests.a::test_one", 1.5, "passed", ""),
        ("tests.a::test_two", 0.5, "failed", "no"),
        ("tests.a::test_three", 0.0, "skipped", ""),
    ]
    assert list(_tests(tmp_path / "none.xml")) == []


def test_summary_names_slow_tests_exceeded_budgets_and_failures() -> None:
    slow = Result(
        Part("live", ()), seconds=61, tests={f"test_{n}": float(n) for n in range(12)}, failed=["pytest -m live"]
    )
    slow.outcomes["passed"] = 12
    quick = Result(Part("checks", ()), seconds=2)

    text = summary([slow, quick], 63, {"live": 60, "checks": 60, "in all": 70})

    lines = text.splitlines()
    assert [line.split()[-1] for line in lines if line.strip().endswith(tuple(f"test_{n}" for n in range(12)))] == [
        f"test_{n}" for n in range(11, 1, -1)
    ]
    assert [line.split()[0] for line in lines if "EXCEEDS" in line] == ["live"]
    assert "FAILED live: pytest -m live" in lines
    assert lines[-1] == "12 passed, 0 failed, 0 skipped"


def test_summary_says_why_each_test_failed() -> None:
    result = Result(Part("live", ()), messages={"test_first": "assert 1 == 2", "test_second": "x" * 2000})

    lines = summary([result], 1, {}).splitlines()

    first, second = lines.index("FAILED live: test_first"), lines.index("FAILED live: test_second")
    assert lines[first + 1] == "  assert 1 == 2"
    assert lines[second + 1] == f"  {'x' * LONGEST_MESSAGE} ..."


def test_interrupted_run_ends_the_processes_that_it_has_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    sleeps = f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(600)"
    suite = Suite(((Part("sleeps", (python(sleeps),)),),), tmp_path / "results")

    def interrupt() -> None:
        eventually(started.exists, "the part has started")
        suite.end()

    thread = Thread(target=interrupt)
    thread.start()
    [result] = suite.run()
    thread.join()

    assert len(result.failed) == 1
