"""Runs all tests and checks with ``python -m tests.suite all``, or the fast tests and checks with
``python -m tests.suite fast``.

A part is a group of commands, such as the linters or one run of pytest. A lane is a list of parts
that run one after the other. All lanes run at the same time.

``pyproject.toml`` has a budget for each part, in seconds on a machine with two cores. The report at
the end marks a part that exceeds its budget. An exceeded budget is no failure.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from xml.etree import ElementTree

from devstack.caches import cache_directory
from devstack.progress import elapsed, say
from tests.conftest import SESSION

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / ".dev-suite"
"""The folder for the output of each part, and for the reports of its tests."""
SLOWEST = 10
LONGEST_MESSAGE = 1000
"""The summary's longest text about a failed test, in characters."""
HEARTBEAT = 60.0
"""Seconds between two lines that list the running parts."""
GO = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
"""Environment variables for programs in Go, such as kube-apiserver, etcd, kubectl and helm. With
these variables, the heap may grow to five times the memory in use before garbage is collected,
instead of twice. By default, kube-apiserver spends a fifth of its processor time on garbage.
"""
NO_VARIABLES: Mapping[str, str] = MappingProxyType({})
PYTEST = (".venv/bin/python", "-m", "pytest", "-q")
FILE_BY_FILE = ("--dist", "loadfile", "-n", "4")
"""Arguments for four workers, for live tests. These tests mostly wait for Airflow, but more than
four workers would wait for the two cores.
"""


@dataclass(frozen=True)
class Part:
    """Commands that run one after the other. If a command fails, the next commands still run.

    Attributes:
        niceness: The nice value of the part's processes. A lower value is a higher priority.
        environment: Additional environment variables.
        after: The name of a part that must end before this part begins, or None. Both parts may be
            in different lists of :data:`SUITES`.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    niceness: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    after: str | None = None


@dataclass
class Result:
    """The result of one :class:`Part`.

    Attributes:
        failed: The commands that failed.
        tests: Durations in seconds, by test name.
        outcomes: How many tests passed, failed and were skipped.
        messages: The error messages of failed tests, by test name.
    """

    part: Part
    seconds: float = 0.0
    failed: list[str] = field(default_factory=list)
    tests: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("passed", "failed", "skipped"), 0))
    messages: dict[str, str] = field(default_factory=dict)


class Outcome(NamedTuple):
    """The outcome of one test: ``passed``, ``failed`` or ``skipped``.

    Attributes:
        seconds: How long the test and its fixtures took.
        message: The error message of a failed test.
    """

    test: str
    seconds: float
    outcome: str
    message: str = ""


CHECKS = Part(
    "checks",
    (
        (".venv/bin/ruff", "format", "--check", "."),
        (".venv/bin/ruff", "check", "."),
        (".venv/bin/mypy", "--cache-dir", str(cache_directory() / "mypy")),
        (".venv/bin/lint-imports",),
        (".venv/bin/codespell",),
        (".venv/bin/python", "-m", "devstack.actionlint"),
        (".venv/bin/zizmor", "--quiet", "--offline", ".github"),
        (".venv/bin/python", "-m", "crds.generate", "--check"),
        (".venv/bin/python", "-m", "crds.reference", "--check"),
        (".venv/bin/python", "client/generate.py", "--check"),
        (".venv/bin/python", "client/reference.py", "--check"),
        (".venv/bin/python", "release/version.py", "--check"),
    ),
)
BACKGROUND = 5
"""The niceness of parts that only compute. They get a third of the weight of the parts with a stack
(sched(7)). With less, they would stand still while the stack is busy, and then fail by their
timeouts.
"""
NOT_LIVE = (*PYTEST, "-m", "not live")
BESIDE_LIVE = (*NOT_LIVE, "--timeout", "1800")
"""Arguments for tests without a stack that run beside live tests. A test may wait minutes for a
core, so the timeout, in seconds, is longer than usual and ends only tests that hang.
"""
CORE = ("tests/unit/contract", "tests/unit/core")
"""The tests of the code that does no I/O."""
PROCESSES = ("tests/unit/startup", "tests/unit/api")
"""Tests that mostly wait for a process or for a timeout."""
ADAPTERS = ("tests/unit/adapters",)
CLIENT = ("tests/unit/client",)
OPERATOR = ("tests/unit/operator",)
CHART = ("tests/chart", "tests/contract")
OTHERS = ("tests/unit", *(f"--ignore={folder}" for folder in (*CORE, *PROCESSES, *ADAPTERS, *CLIENT, *OPERATOR)))
"""The unit tests that are not in the groups above."""

SHORT_SEARCH = {"PROMISES_EXAMPLES": "10"}
"""An environment with which the state machines of the operator's tests try ten sequences of steps
instead of up to 60.
"""


def _unit(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str] = NO_VARIABLES,
    after: str | None = None,
    **groups: Sequence[str],
) -> tuple[Part, ...]:
    """Return a part for each group of tests without a stack.

    Parts that run side by side take the place of the workers of pytest-xdist: each worker would
    collect the tests of all groups, and collecting takes a sixth of the processor time of the tests.

    Args:
        arguments: The command that runs the tests.
        environment: Additional environment variables.
        after: The name of a part that must end before these parts begin, or None.
        groups: The folders of each group, and further options, by the name of the part.
    """
    return tuple(
        Part(name, ((*arguments, *folders),), niceness=BACKGROUND, environment=environment, after=after)
        for name, folders in groups.items()
    )


GITOPS = Part("gitops", ((*BESIDE_LIVE, "-n", "2", "tests/integration"),), niceness=BACKGROUND)
"""The integration tests without a stack. They build a Go program with the libraries of the GitOps
tools, which takes minutes without a cache.
"""
PROVIDER = tuple(
    Part(
        f"provider{suffix}",
        (
            (
                f".venv-airflow{suffix}/bin/python",
                "-m",
                "pytest",
                "-q",
                "-c",
                "tests/airflow/pytest.ini",
                "tests/airflow",
            ),
        ),
        niceness=BACKGROUND,
    )
    for suffix in ("", "-oldest")
)
VIEW = Part("view", ((*BESIDE_LIVE, "-n", "2", "tests/view"),), niceness=BACKGROUND)
"""The tests of the view in Chromium, on a fake cluster. If the machine has no Chromium, npm fetches
it.
"""
LIVE_TESTS = ("tests/chart", "tests/contract", "tests/e2e", "tests/integration")
"""Folders with live tests. Collecting the unit tests as well would cost each worker seconds
of processor time.
"""
ONE_STACK = {SESSION: uuid.uuid4().hex}
LIVE = Part(
    "live",
    ((*PYTEST, "-m", "live and not disruptive", "--leave-stack", *FILE_BY_FILE, *LIVE_TESTS),),
    environment=ONE_STACK,
)
FAULTS = Part("faults", ((*PYTEST, "-m", "live and disruptive", *LIVE_TESTS),), environment=ONE_STACK)
"""Tests that stop components of the stack. They run on the stack that the part live leaves."""
LIVE_OLDEST = Part(
    "live-oldest",
    ((*PYTEST, "--airflow", "oldest", *FILE_BY_FILE, "tests/contract", "tests/e2e"),),
    after=LIVE.name,
)

SUITES: dict[str, tuple[tuple[Part, ...], ...]] = {
    "fast": (
        (CHECKS, *_unit(NOT_LIVE, adapters=ADAPTERS)),
        _unit(NOT_LIVE, environment=SHORT_SEARCH, operator=OPERATOR, others=OTHERS),
        (*_unit((*NOT_LIVE, "-n", "3", "--dist", "worksteal"), processes=PROCESSES), *_unit(NOT_LIVE, core=CORE)),
        _unit(NOT_LIVE, client=CLIENT, chart=CHART),
    ),
    "all": (
        (LIVE, FAULTS),
        (LIVE_OLDEST,),
        (
            *(CHECKS, *PROVIDER, GITOPS),
            *_unit(BESIDE_LIVE, core=(*CORE, "--cov"), others=OTHERS, chart=CHART, client=CLIENT, adapters=ADAPTERS),
        ),
        (*_unit(BESIDE_LIVE, after=LIVE.name, operator=OPERATOR), VIEW),
        _unit(BESIDE_LIVE, after=LIVE.name, processes=PROCESSES),
    ),
}
"""The lanes of each suite. The disruptive tests mostly wait for components to start, so the tests
with the oldest Airflow run beside them, and so do some of the tests without a stack. The others use
what the live tests leave of the cores. With the option ``--cov``, the part ``core`` fails if its
tests don't cover enough of the code that does no I/O.
"""


class Suite:
    """One run of the suite.

    Args:
        lanes: Lists of parts. The parts of a list run one after the other. All lists run at the
            same time.
        results: The folder for the output of the parts and for the test reports.
    """

    def __init__(self, lanes: Sequence[Sequence[Part]], results: Path = RESULTS) -> None:
        self._lanes = lanes
        self._results = results
        self._running: dict[str, tuple[float, subprocess.Popen[bytes]]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ended = {part.name: threading.Event() for lane in lanes for part in lane}

    def run(self) -> list[Result]:
        """Run all parts, and return their results. Call this method in the main thread, because the
        method sets a signal handler.
        """
        # A shell that starts a job in the background makes the job and its children ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._results.mkdir(exist_ok=True)
        heart = threading.Thread(target=self._beat, daemon=True)
        heart.start()
        try:
            with ThreadPoolExecutor(len(self._lanes)) as pool:
                try:
                    return [result for lane in pool.map(self._run_lane, self._lanes) for result in lane]
                except BaseException:
                    self.end()
                    raise
        finally:
            self._over.set()

    def _run_lane(self, lane: Sequence[Part]) -> list[Result]:
        results = []
        for part in lane:
            try:
                if part.after is not None:
                    self._ended[part.after].wait()
                if not self._over.is_set():
                    results.append(self._run_part(part))
            finally:
                self._ended[part.name].set()
        return results

    def _run_part(self, part: Part) -> Result:
        say(f"  {part.name:<24} begins")
        started, result = time.monotonic(), Result(part)
        log = self._results / f"{part.name}.log"
        with log.open("wb") as out:
            for number, command in enumerate(part.commands):
                report = self._results / f"{part.name}-{number}.xml"
                report.unlink(missing_ok=True)
                if self._run_command(part, command, report, out) != 0:
                    result.failed.append(shlex.join(command))
                for test in _tests(report):
                    result.tests[test.test] = test.seconds
                    result.outcomes[test.outcome] += 1
                    if test.outcome == "failed":
                        result.messages[test.test] = test.message
        result.seconds = time.monotonic() - started
        with self._lock:
            say(f"\n--- {part.name}: {'failed' if result.failed else 'passed'} after {elapsed(result.seconds)}")
            say(log.read_text(errors="replace").strip())
        return result

    def _run_command(self, part: Part, command: tuple[str, ...], report: Path, out: object) -> int:
        arguments = list(command)
        if "pytest" in command:
            arguments += [f"--junitxml={report}", "-o", "junit_duration_report=total"]
        process = subprocess.Popen(
            arguments,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,  # type: ignore[call-overload]
            stderr=subprocess.STDOUT,
            env=_environment() | dict(part.environment),
            start_new_session=True,
        )
        self._running[part.name] = time.monotonic(), process
        if part.niceness:
            _set_niceness(process.pid, part.niceness)
        try:
            return int(process.wait())
        finally:
            del self._running[part.name]

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT):
            now = time.monotonic()
            under_way = [f"{name} for {elapsed(now - since)}" for name, (since, _) in sorted(self._running.items())]
            say(f"  under way: {', '.join(under_way)}")

    def end(self) -> None:
        """Start no more parts, and interrupt all running commands, as Ctrl-C does."""
        self._over.set()
        for ended in self._ended.values():
            ended.set()
        for _, process in list(self._running.values()):
            os.killpg(process.pid, signal.SIGINT)


def _environment() -> dict[str, str]:
    # With PYTHONDONTWRITEBYTECODE, every worker of every part would compile the tests again.
    return GO | {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _set_niceness(pid: int, niceness: int) -> None:
    """Set the niceness of a session that has just started. nice(1) alone would not suffice: on most
    Linux systems, the kernel shares processor time among sessions first. See sched(7), "The
    autogroup feature". All errors of the operating system are ignored.

    Args:
        pid: The process that leads the session.
        niceness: From 1 to 19.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, niceness)
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))


def _tests(report: Path) -> Iterator[Outcome]:
    if not report.exists():
        return
    for case in ElementTree.parse(report).iter("testcase"):
        faults = [child for child in case if child.tag in ("failure", "error")]
        outcome = "failed" if faults else "skipped" if case.find("skipped") is not None else "passed"
        message = "\n".join(fault.get("message") or "" for fault in faults)
        yield Outcome(f"{case.get('classname')}::{case.get('name')}", float(case.get("time") or 0), outcome, message)


def summary(results: Sequence[Result], seconds: float, budgets: dict[str, float]) -> str:
    tests = [(took, f"{result.part.name}: {name}") for result in results for name, took in result.tests.items()]
    lines = ["", f"The {SLOWEST} slowest tests:"]
    lines += [f"  {elapsed(took):>8}  {name}" for took, name in sorted(tests, reverse=True)[:SLOWEST]]
    lines += ["", f"  {'part':<16} {'tests':>6} {'took':>8} {'budget':>8}"]
    total = Result(Part("in all", ()), seconds)
    rows = [*results, total]
    for result in rows:
        budget = budgets.get(result.part.name)
        number = len(result.tests) or ("-" if result is not total else len(tests))
        shown = elapsed(budget) if budget else "-"
        exceeded = "  <-- EXCEEDS ITS BUDGET" if budget and result.seconds > budget else ""
        lines.append(f"  {result.part.name:<16} {number:>6} {elapsed(result.seconds):>8} {shown:>8}{exceeded}")
    for result in results:
        for test, message in result.messages.items():
            shown = message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]} ..."
            lines += [f"FAILED {result.part.name}: {test}", textwrap.indent(shown, "  ")]
        lines += [f"FAILED {result.part.name}: {command}" for command in result.failed]
    lines += [
        "",
        ", ".join(f"{sum(r.outcomes[kind] for r in results)} {kind}" for kind in ("passed", "failed", "skipped")),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Run the suite with the name in ``arguments``, by default ``all``. Return the exit status: 0
    for success, 1 for a failed command, and 2 for wrong arguments.
    """
    chosen = arguments[0] if arguments else "all"
    if chosen not in SUITES or len(arguments) > 1:
        say(f"usage: python -m tests.suite [{' | '.join(SUITES)}]")
        return 2
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["suite"]["budgets"]
    started = time.monotonic()
    results = Suite(SUITES[chosen]).run()
    print(summary(results, time.monotonic() - started, settings[chosen]), flush=True)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
