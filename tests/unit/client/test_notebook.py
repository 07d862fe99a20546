from __future__ import annotations

import sys
from html.parser import HTMLParser
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mljob import Client
from mljob.notebook import job_html, job_line
from mljob.resource import MLJob
from tests.fakes.mljob_cluster import MLJobCluster
from tests.unit.client.statuses import failed, refused, running, succeeded

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b[2J\u202e&lt;"
ALLOWED = {"div", "p", "strong", "progress", "table", "thead", "tbody", "tr", "th", "td"}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def job(status: Any, name: str = "train", namespace: str = "team-a") -> MLJob:
    return MLJob({"metadata": {"name": name, "namespace": namespace}, "spec": {"dagId": "d"}, "status": status})


def tags(html: str) -> Tags:
    parser = Tags()
    parser.feed(html)
    assert not parser.open
    return parser


def test_html_shows_phase_progress_tasks_and_outputs() -> None:
    task = {"taskId": "fit", "state": "running", "progress": 40, "metrics": {"loss": 0.5}}
    html = job_html(job(running(percent=30, message="Task fit is running.", tasks=[task], outputs={"accuracy": 0.9})))

    for text in (
        "▶ Running",
        "team-a/train",
        'value="30"',
        "Task fit is running.",
        "fit",
        "40 %",
        "loss=0.5",
        "accuracy",
        "0.9",
    ):
        assert text in html
    tags(html)


def test_hostile_texts_stay_texts() -> None:
    task = {"taskId": EVIL, "state": EVIL, "progress": EVIL, "metrics": {EVIL: EVIL}}
    status = {"phase": EVIL, "message": EVIL, "percent": EVIL, "tasks": [task, EVIL], "outputs": {EVIL: [EVIL]}}

    html = job_html(job(status, EVIL, EVIL))

    found = tags(html).found
    assert {tag for tag, _ in found} <= ALLOWED
    assert {name for _, names in found for name in names} <= {"class", "max", "value"}
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_html_is_bounded() -> None:
    tasks = [{"taskId": "t" * 1_000, "state": "x" * 100_000} for _ in range(5_000)]
    outputs = {f"o{number}": "y" * 100_000 for number in range(5_000)}

    assert len(job_html(job({"message": "z" * 1_000_000, "tasks": tasks, "outputs": outputs}))) < 100_000


@pytest.mark.parametrize(
    "status", [None, [], {"tasks": {}}, {"tasks": [[]], "percent": True, "outputs": 7}, {"phase": {}}]
)
def test_odd_status_is_shown_as_pending(status: Any) -> None:
    assert "New" in job_html(job(status))


def test_line_says_the_same_without_html() -> None:
    assert job_line(job(failed(progress="1/3"))) == "✘ Failed  train  1/3  Task fit failed: ValueError: no data"


class Notebook:
    """A fake of IPython in a notebook.

    Attributes:
        shown: A pair for each call: the name of the method (``display`` or ``update``), and the
            HTML that the method got.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[tuple[str, str]] = []
        notebook = self

        class DisplayHandle:
            def display(self, content: Any) -> None:
                notebook.shown.append(("display", content.data))

            def update(self, content: Any) -> None:
                notebook.shown.append(("update", content.data))

        ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
        display.DisplayHandle = DisplayHandle  # type: ignore[attr-defined]
        display.HTML = lambda data: SimpleNamespace(data=data)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)


def test_notebook_shows_a_job_in_one_place(
    cluster: MLJobCluster, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = Notebook(monkeypatch)
    cluster.put("train", status=running())
    shown = client.get("train")
    stream = shown.stream

    def finish_when_running(timeout: float | None = None) -> Any:
        for state in stream(timeout):
            yield state
            cluster.put("train", status=succeeded())

    monkeypatch.setattr(shown, "stream", finish_when_running)
    shown.show(timeout=180)

    assert [kind for kind, _ in notebook.shown] == ["display", "update", "update"]
    assert "Running" in notebook.shown[0][1]
    assert "Succeeded" in notebook.shown[-1][1]


def test_outside_of_a_notebook_lines_are_printed_once(
    cluster: MLJobCluster, client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.put("train", status=succeeded())

    client.get("train").show(timeout=180)

    assert capsys.readouterr().out == "✔ Succeeded  train\n"


def test_handle_is_shown_as_html(cluster: MLJobCluster, client: Client) -> None:
    cluster.put("train", status=succeeded())

    assert "✔ Succeeded" in client.get("train")._repr_html_()


def test_refused_change_of_the_spec_is_explained() -> None:
    for shown in (job_line(job(refused())), job_html(job(refused()))):
        assert "conf changed after the run was submitted." in shown
