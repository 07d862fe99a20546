"""Markup in an MLJob can't add elements to the view's HTML."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from mljob.resource import MLJob
from mljob.view.live_pages.jobs import JobRows
from mljob.view.pages.job_page import JobInput, job_page
from mljob.view.pages.job_tab import TABS, View
from mljob.view.pages.occurrences import event_of
from mljob.view.pages.summary import summary_of
from mljob.view.rendering import Renderer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MARKUP = "\"'><img src=x onerror=alert(1)><script>alert(1)</script>{{ 7*7 }}</textarea></title><!--"
MISLEADING = "safe\u202etxt.exe\x1b[31m\x00\u2028end"
HOSTILE = [MARKUP, MISLEADING, "x" * 50_000, "javascript:alert(1)"]


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


def hostile_job(text: str) -> dict[str, Any]:
    task = {
        "taskId": text,
        "state": text,
        "tryNumber": 1,
        "startTime": "2026-01-01T00:00:00Z",
        "error": {"type": text, "message": text},
        "metrics": {text: 1.0},
        "logUrl": text,
        "input": {"subject": text, "url": text},
    }
    return {
        "metadata": {"name": text, "namespace": text, "uid": "u", "labels": {text: text}},
        "spec": {"dagId": "dag", "conf": {text: [text, {text: text}]}},
        "status": {
            "phase": "Failed",
            "reason": text[:1000],
            "message": text,
            "currentTask": text,
            "tasks": [task],
            "outputs": {text: text},
            "outputsOmitted": [text],
            "dagRunId": text,
            "dagRunUrl": text,
            "attempts": 1,
            "conditions": [{"type": text[:300], "status": "True", "reason": "R", "message": text[:30000], "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    }  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=["markup", "misleading", "long", "javascript"])
@pytest.mark.parametrize("tab", [tab for tab in TABS if tab != "logs"])
def test_page_of_a_hostile_job_has_no_elements_of_its_own(text: str, tab: str) -> None:
    renderer = Renderer()
    event = {"metadata": {"name": text}, "type": text, "reason": text, "message": text, "involvedObject": {"uid": "u"}}
    page = job_page(JobInput(MLJob(hostile_job(text)), NOW, events=[event_of(event)], notices=[text]))
    panels = {"outputs": page.outputs, "conf": page.conf}
    template = f"job/{'values' if tab in panels else tab}.html"

    html = "".join(
        renderer.render(name, page=page, now=NOW, tail=(), view=View(tab), colours={}, heading=text, values=panels.get(tab, ()), omitted=[text], sources=[text], nothing=text)
        for name in ("job/head.html", "job/why.html", template)
    )  # fmt: skip

    found = Elements(html)
    assert not found.tags & {"img", "script", "iframe", "object", "style", "textarea", "title"} - {"title"}
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
    assert not [link for link in found.links if link.lower().startswith(("javascript:", "data:"))]
    assert "\u202e" not in html
    assert "\x00" not in html
    assert len(html) < 400_000


@pytest.mark.parametrize("text", HOSTILE, ids=["markup", "misleading", "long", "javascript"])
def test_row_of_a_hostile_job_has_no_elements_of_its_own(text: str) -> None:
    html = JobRows(Renderer()).html(summary_of(hostile_job(text)), NOW)

    found = Elements(html)
    assert found.tags <= {"tr", "td", "input", "a", "small", "span", "b", "svg", "use", "path", "progress", "time"}
    assert not {name for name in found.attributes if name.startswith("on") or name == "style"}
    assert len(html) < 8_000


def test_half_of_a_surrogate_pair_breaks_no_page() -> None:
    html = JobRows(Renderer()).html(summary_of(hostile_job("\ud800")), NOW)

    assert html.encode()


def test_row_is_rendered_once_for_each_state() -> None:
    rows = JobRows(Renderer())
    summary = summary_of(hostile_job("a"))

    assert rows.html(summary, NOW) is rows.html(summary, NOW)


def test_no_template_marks_text_as_safe() -> None:
    for template in Renderer()._environment.list_templates():
        source = (Renderer()._environment.loader.get_source(Renderer()._environment, template))[0]  # type: ignore[union-attr]
        assert "|safe" not in source.replace(" ", ""), template
        assert "style=" not in source, f"{template}: the policy of the pages forbids inline styles"
        assert "<script>" not in source, template
