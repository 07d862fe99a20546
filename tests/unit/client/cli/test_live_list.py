"""The output of ``kubectl mljob list --watch``."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len

from mljob.changes import Change, ChangeKind
from mljob.cli.live import JobPage, drawn
from mljob.cli.live_list import LiveList
from mljob.cli.screen import Line, Piece, Screen
from mljob.resource import MLJob
from mljob.sweep import POINT
from tests.unit.client.cli.conftest import Terminal
from tests.unit.client.statuses import failed, running, succeeded


def job(name: str, status: Any, minute: int = 0) -> MLJob:
    created = f"2026-01-01T00:{minute:02}:00Z"
    return MLJob({"metadata": {"name": name, "namespace": "team-a", "creationTimestamp": created}, "status": status})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> LiveList:
    monkeypatch.setenv("LINES", "14")
    return LiveList(Screen(io.StringIO()), with_namespace=False)


def names(shown: LiveList) -> list[str]:
    return ["".join(piece.text for piece in line).split("  ")[0] for line in shown.page()]


def put(shown: LiveList, *jobs: MLJob) -> None:
    for each in jobs:
        shown.take(Change(ChangeKind.ADDED, each))


def test_newest_come_last(shown: LiveList) -> None:
    put(shown, job("b", running(), 2), job("a", running(), 3), job("c", running(), 1))
    assert names(shown) == ["NAME", "c", "b", "a"]


def test_what_does_not_fit_is_counted_and_what_needs_a_look_stays(shown: LiveList) -> None:
    put(shown, *(job(f"done-{minute}", succeeded(reason="Succeeded"), minute) for minute in range(30)))
    put(shown, job("broken", failed(), 0), job("busy", running(reason="TaskRunning"), 1))
    assert names(shown)[1:3] == ["broken", "busy"]
    assert names(shown)[-2:] == ["done-29", "and 23 more"]
    assert len(shown.page()) <= 14


def test_deleted_mljob_disappears(shown: LiveList) -> None:
    put(shown, job("a", running()), job("b", running()))
    shown.take(Change(ChangeKind.DELETED, job("a", running())))
    assert names(shown) == ["NAME", "b"]


def test_page_says_when_it_is_not_live(shown: LiveList) -> None:
    assert names(shown) == ["There are no such MLJobs yet."]
    put(shown, job("a", running()))
    shown.take(Change(ChangeKind.DISCONNECTED, None, "no answer"))
    assert names(shown)[-1].startswith("Not live since")
    assert names(shown)[-1].endswith("UTC: no answer")
    shown.take(Change(ChangeKind.CONNECTED))
    assert names(shown) == ["NAME", "a"]


def test_outage_is_one_line_and_begins_when_the_connection_is_lost(
    shown: LiveList, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(change: Change[MLJob]) -> list[str]:
        shown.take(change)
        return ["".join(piece.text for piece in line) for line in shown.lines_about(change)]

    times = iter([datetime(2026, 1, 1, 12, minute, tzinfo=UTC) for minute in (0, 1)])
    monkeypatch.setattr("mljob.changes.datetime", SimpleNamespace(now=lambda _: next(times)))
    first = "Not live since 12:00:00 UTC: no answer"
    assert lines(Change(ChangeKind.DISCONNECTED, None, "no answer")) == [first]
    assert lines(Change(ChangeKind.DISCONNECTED, None, "still no answer")) == []
    assert names(shown)[-1] == first
    assert lines(Change(ChangeKind.CONNECTED)) == []
    assert lines(Change(ChangeKind.DISCONNECTED, None, "again")) == ["Not live since 12:01:00 UTC: again"]


def test_lines_are_cut_at_the_width_of_the_terminal(terminal: Terminal) -> None:
    screen = Screen(terminal)
    page: list[Line] = [[Piece(f"job-{index:02}  {'There is no DAG. ' * 20}")] for index in range(23)]
    with drawn(screen, lambda: page):
        pass
    shown = terminal.text().splitlines()
    assert [line.rstrip() for line in shown if line][-1].startswith("job-22")
    assert max(map(len, shown)) <= 80


def test_sentence_about_a_watched_mljob_is_wrapped_and_takes_the_place_of_tasks(terminal: Terminal) -> None:
    message = "There is no DAG 'trian_model' in Airflow. " * 6 + "Rename."
    tasks = [{"taskId": f"task-{number}", "state": "running"} for number in range(60)]
    page = JobPage(job("a", running(message=message, tasks=tasks)), Screen(terminal)).lines()
    texts = ["".join(piece.text for piece in line) for line in page]
    said = texts[1 : texts.index("")]
    assert " ".join(line.strip() for line in said) == message
    assert max(map(len, said)) <= 80
    assert len(page) <= 23
    assert texts[-1] == f"  and {60 - len(page) + len(said) + 3} more tasks"


@pytest.mark.parametrize(
    "text", ["学習データが見つかりません。" * 12, "Error: " + "데이터가 없습니다 " * 20, "x" * 300]
)
def test_live_page_shows_all_characters_of_a_wide_sentence(text: str, terminal: Terminal) -> None:
    screen = Screen(terminal)
    with drawn(screen, JobPage(job("a", running(message=text + "END")), screen).lines):
        pass
    shown = terminal.text().rsplit("▶ Running", 1)[1].splitlines()[1:]
    said = "".join(shown[: next(index for index, line in enumerate(shown) if not line.strip())])
    assert said.replace(" ", "") == (text + "END").replace(" ", "")


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("with_namespace", [True, False])
def test_long_names_and_sweep_points_leave_room_for_the_phase(
    columns: int, with_namespace: bool, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    point = "learning_rate=0.001 hidden_units=64 optimizer=日本語 batch_size=128"
    long = job("x" * 132 + "-1a2b3c4", succeeded())
    swept = MLJob({**long.raw, "metadata": {**long.metadata, "name": "b", "annotations": {POINT: point}}})
    screen = Screen(terminal)
    shown = LiveList(screen, with_namespace=with_namespace)
    put(shown, job("digits", running()), long, swept)
    screen.show(shown.page())
    title, *lines = terminal.text().splitlines()
    assert all(cell_len(line) <= columns for line in lines)
    phases = [line for line in lines if re.search(r"▶ Running|✔ Succeeded", line)]
    assert len(phases) == 3
    at = {cell_len(re.split("[▶✔]", line)[0]) for line in phases}
    assert at == {title.index("PHASE")}
    assert any(re.search(r"x…\S*3c4 ", line) for line in phases)
