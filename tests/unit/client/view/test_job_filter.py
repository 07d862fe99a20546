from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from mljob.view.pages.job_filter import PAGE, JobFilter
from mljob.view.pages.jobs_page import jobs_page
from mljob.view.pages.summary import JobSummary, summary_of


def job(name: str, phase: str = "Running", kind: str = "Training", **labels: str) -> JobSummary:
    metadata = {"name": name, "namespace": "team-a", "uid": name, "labels": labels}
    return summary_of({"metadata": metadata, "spec": {"dagId": "dag", "type": kind}, "status": {"phase": phase}})


def names(jobs: list[JobSummary], **query: str) -> list[str]:
    return [row.name for row in jobs_page(jobs, JobFilter.from_query(query)).rows]


JOBS = [
    job("churn-train", team="a", tier="gold"),
    job("churn-eval", "Failed", "Prediction", team="a"),
    job("nightly", "Pending", "Enrichment", team="b"),
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["churn-train", "churn-eval", "nightly"]),
        ({"phase": "Failed"}, ["churn-eval"]),
        ({"type": "Enrichment"}, ["nightly"]),
        ({"text": "CHURN tr"}, ["churn-train"]),
        ({"text": "failed"}, ["churn-eval"]),
        ({"label": "team=a"}, ["churn-train", "churn-eval"]),
        ({"label": "team==a,tier"}, ["churn-train"]),
        ({"label": "team=a, !tier"}, ["churn-eval"]),
        ({"label": "team!=a"}, ["nightly"]),
        ({"phase": "Nonsense", "type": "Nonsense"}, ["churn-train", "churn-eval", "nightly"]),
        ({"text": "none of them"}, []),
    ],
    ids=str,
)
def test_filter_keeps_what_matches(query: dict[str, str], expected: list[str]) -> None:
    assert names(JOBS, **query) == expected


def test_query_gives_the_same_filter_back() -> None:
    chosen = JobFilter("team-a", "Training", "Failed", "team=a,tier!=gold", "a & b/ü?", 1)

    assert JobFilter.from_query(dict(parse_qsl(chosen.query().removeprefix("?")))) == chosen


def test_change_of_a_filter_begins_at_the_first_page() -> None:
    chosen = JobFilter(phase="Failed", page=4)

    assert chosen.query(phase="Running") == "?phase=Running"
    assert chosen.query(page=5) == "?phase=Failed&page=5"


@pytest.mark.parametrize("page", ["0", "-1", "x", "٣", "99999999999999999999", ""])
def test_impossible_page_is_the_first(page: str) -> None:
    assert JobFilter.from_query({"page": page}).page == 1


def test_counts_are_of_all_phases_that_match_the_rest_of_the_filter() -> None:
    page = jobs_page(JOBS, JobFilter(phase="Failed", label="team=a"))

    counts = {phase.mark.word: phase.count for phase in page.phases}
    assert counts == {"Running": 1, "Failed": 1}
    assert (page.matching, page.total) == (1, 3)


def test_pages_have_all_jobs_once() -> None:
    jobs = [job(f"job-{number}") for number in range(2 * PAGE + 1)]

    seen: list[str] = []
    query: str | None = ""
    while query is not None:
        page = jobs_page(jobs, JobFilter.from_query(dict(parse_qsl(query.removeprefix("?")))))
        seen += [row.name for row in page.rows]
        query = page.older

    assert seen == [one.name for one in jobs]
    assert page.first == 2 * PAGE + 1
    assert page.newer == "?page=2"


def test_page_after_the_last_one_is_the_last_one() -> None:
    page: Any = jobs_page(JOBS, JobFilter(page=9))

    assert len(page.rows) == 3
