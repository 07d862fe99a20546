"""The HTML page of a monitoring report."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.pages import files
from mljob_airflow.monitoring.pages.page import page
from mljob_airflow.monitoring.pages.plots import sparkline
from mljob_contract.reports import FindingKind, Series, Table
from tests.unit.airflow_provider.monitoring.reports import CRITICAL, NOW, SLOW, finding, report

VOID = {"meta", "br", "path", "circle", "polyline"}


class Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def read(html: str) -> Tree:
    tree = Tree()
    tree.feed(html)
    assert tree.open == []
    return tree


SERIES = Series(title="Pool <gpu>", start=NOW, step_seconds=900, values=(0, 1.5, 4, 2), limit=4, unit="slots")
TABLE = Table(
    title="Pools", columns=("Pool", "Slots"), rows=(("gpu", 4.0), ("<default>", "unlimited")), note="How to read it."
)


def test_a_page_has_no_external_resources() -> None:
    tree = read(page(report(finding(), SLOW, tables=(TABLE,), series=(SERIES,))))
    assert not tree.tags & {"script", "link", "img", "iframe", "object"}
    fetched = {name for name, _ in tree.attributes} & {"src", "srcset", "style", "onload"}
    assert fetched == set()


def test_a_page_has_the_findings_by_owner_sorted_by_severity() -> None:
    words = read(page(report(CRITICAL, finding("b", owner="team-b"), finding("p", owner=None)))).words
    assert "mljob_monitor: 1 critical, 2 warnings" in words
    assert words.index("team-a") < words.index("team-b")
    assert "The platform" in words


def test_a_page_without_findings_says_so() -> None:
    assert "no findings" in read(page(report())).words


def test_a_page_says_which_findings_may_be_missing() -> None:
    words = read(page(report(incomplete={FindingKind.DAG_PAUSED: "only the first 10,000 DAGs were read"}))).words
    assert "only the first 10,000 DAGs were read" in words


def test_a_page_has_tables_and_charts() -> None:
    tree = read(page(report(tables=(TABLE,), series=(SERIES,))))
    assert {"svg", "table", "figure"} <= tree.tags
    assert "at most 4 of 4 slots" in tree.words
    assert "<default>" in tree.words


text = st.text(max_size=200)


@given(text, text, st.text(max_size=50), st.lists(st.floats(0, 1e7), max_size=60))
def test_a_page_with_any_texts_is_valid_html(title: str, detail: str, owner: str, history: list[float]) -> None:
    odd = finding(title=title, detail=detail, owners=(owner,), url=f"javascript:{title}", history=tuple(history))
    tree = read(page(report(odd, tables=(Table(title=title, columns=(owner,), rows=((detail,),), links=(title,)),))))
    assert not any(name == "href" and not (value or "").startswith("http") for name, value in tree.attributes)
    assert "script" not in tree.tags


def test_there_is_no_sparkline_without_values() -> None:
    assert sparkline(()) == sparkline((1.0,)) == ""


def test_the_number_of_pages_is_bounded_and_the_newest_is_latest_html(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "KEPT", 3)
    for minutes in range(5):
        made = report(finding(f"d{minutes}"), minutes=minutes)
        file = files.write(made, tmp_path)
        assert file.name == files.name_of(made)
    names = sorted(path.name for path in (tmp_path / "mljob_monitor").iterdir())
    assert names == [f"2026-05-04T120{n}00.html" for n in (2, 3, 4)] + ["latest.html"]
    assert "d4 is paused" in (tmp_path / "mljob_monitor" / "latest.html").read_text()


def test_the_url_of_a_page_ends_with_its_file() -> None:
    made = report(minutes=timedelta(hours=1).total_seconds() / 60)
    assert (
        files.url_of(made, "https://reports.example/") == "https://reports.example/mljob_monitor/2026-05-04T130000.html"
    )
    assert files.url_of(made, "") is None
