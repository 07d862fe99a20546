from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from mljob.cli.first_page import first_page
from mljob.render.times import duration
from tests.fakes.view_cluster import GrowingLog, ViewCluster
from tests.view import showcase
from tests.view.conftest import DESKTOP, PHONE, OpenPage
from tests.view.serving import RunningView

COMPARE = "/compare?" + "&".join(f"job=team-a/digits-lr-{number}" for number in range(4))
PAGES = {
    "jobs": "/jobs",
    "no match": "/jobs?text=nothing+like+this",
    "empty": "/jobs?namespace=default",
    "running": "/jobs/team-a/churn-train",
    "failed": "/jobs/team-a/churn-eval",
    "metrics": "/jobs/team-a/churn-train?tab=metrics",
    "logs": "/jobs/team-a/churn-train?tab=logs",
    "outputs": "/jobs/team-a/digits-lr-0?tab=outputs",
    "conf": "/jobs/team-a/churn-train?tab=conf",
    "attempts": "/jobs/team-a/churn-eval?tab=attempts",
    "events": "/jobs/team-a/churn-eval?tab=events",
    "confirmation": "/jobs/team-a/churn-train/actions/cancel",
    "compare": COMPARE,
    "nothing to compare": "/compare",
    "platform": "/platform",
    "not found": "/jobs/team-a/nothing",
}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": PHONE, "has_touch": True},
    "dark phone": {"viewport": PHONE, "color_scheme": "dark"},
}


def settled(page: Page) -> None:
    """Wait until these statements are true:

    - The page has no ``meta`` element that makes the browser reload the page.
    - The page is connected to the stream of changes, or needs no stream.
    - The page's log has content, or the page has no log.
    """
    page.wait_for_function("() => !document.querySelector('meta[http-equiv=refresh]')")
    page.wait_for_function(
        "() => !document.body.dataset.events || document.getElementById('live').dataset.state === 'live'"
    )
    page.wait_for_function(
        "() => !document.getElementById('log') || document.getElementById('log').childElementCount > 0"
    )


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing_and_nothing_is_cut(pages: OpenPage, view: RunningView, look: str) -> None:
    page = pages(view.first_url, **LOOKS[look])
    findings: list[str] = []
    for name, path in PAGES.items():
        page.goto(view.url + path)
        settled(page)
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        findings += [
            f"{name}: {violation['id']}: {violation['help']}: {violation['nodes'][0]['html'][:200]}"
            for violation in found.response["violations"]
        ]
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        findings += [f"{name}: {width} pixels wider than the window"] if width > 0 else []
    assert not findings, "\n".join(findings)


def test_help_passes_axe_too(page: Page) -> None:
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()

    assert not Axe().run(page).response["violations"]
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_file_of_the_command_lets_the_browser_in(pages: OpenPage, view: RunningView) -> None:
    with first_page() as page_of:
        page = pages(page_of(view.first_url))

    expect(page.get_by_role("row", name=re.compile("churn-eval"))).to_be_visible()


def test_failed_job_is_found_and_understood_without_a_log_in_airflow(page: Page) -> None:
    page.get_by_role("link", name=re.compile("Failed")).click()
    row = page.get_by_role("row", name=re.compile("churn-eval"))
    expect(row).to_contain_text("ValueError: 3 columns are missing: age, region, tenure")
    row.get_by_role("link", name="churn-eval").click()

    expect(page.get_by_role("heading", name="Task score failed")).to_be_visible()
    expect(page.get_by_role("region", name=re.compile("end of the log"))).to_contain_text("raise ValueError")
    expect(page.locator("#why")).to_be_in_viewport()
    page.go_back()
    expect(page).to_have_url(re.compile(r"/jobs\?phase=Failed$"))


def test_filters_are_in_the_url_and_back_works(page: Page, view: RunningView) -> None:
    page.get_by_label("Namespace").select_option("team-b")
    page.wait_for_url(f"{view.url}/jobs?namespace=team-b")
    page.get_by_label("Search").fill("forecast")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(f"{view.url}/jobs?namespace=team-b&text=forecast")
    expect(page.locator("[data-row]")).to_have_count(2)

    page.go_back()
    expect(page.locator("[data-row]")).to_have_count(4)
    expect(page.get_by_label("Namespace")).to_have_value("team-b")


def test_names_of_compared_results_stay_whole(page: Page, view: RunningView) -> None:
    page.goto(view.url + COMPARE)

    lines = page.locator(".compare th[scope=row]").first.evaluate(
        """(name) => {
            name.textContent = "weights_path_of_it";
            const range = document.createRange();
            range.selectNodeContents(name);
            return range.getClientRects().length;
        }"""
    )

    assert lines == 1


def test_list_works_by_keys(page: Page, view: RunningView) -> None:
    page.keyboard.press("j")
    page.keyboard.press("j")
    names = page.locator("[data-row] [data-open]")
    expect(names.nth(1)).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("k")
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Compare 2 chosen")).to_be_visible()
    expect(names.nth(0)).to_be_focused()
    page.keyboard.press("c")
    page.wait_for_url(re.compile(r"/compare\?job=.*&job="))

    page.go_back()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("train_churn")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("text=train_churn"))
    page.keyboard.press("j")
    page.keyboard.press("l")
    page.wait_for_url(f"{view.url}/jobs/team-a/churn-train?tab=logs")


def test_log_follows_in_colour_and_a_line_has_a_link(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    page.goto(f"{view.url}/jobs/team-a/churn-train?tab=logs")
    log = page.get_by_role("log")
    expect(log).to_contain_text("epoch 20")
    expect(log.locator(".ansi-yellow")).to_have_text("WARNING")
    expect(log.get_by_role("link", name="https://example.com/docs/lr_schedule")).to_have_attribute(
        "rel", re.compile("noopener")
    )

    cluster.logs["team-a/churn-train/fit"].write(*(f"line {number}" for number in range(200)))
    expect(log).to_contain_text("line 199")
    assert page.evaluate(
        "() => { const log = document.getElementById('log'); return log.scrollHeight - log.scrollTop - log.clientHeight < 40 }"
    )

    page.goto(f"{view.url}/jobs/team-a/churn-train?tab=logs&task=fit#L15")
    line = page.locator("#L15")
    expect(line).to_have_class(re.compile("target"))
    expect(line).to_be_in_viewport()
    cluster.logs["team-a/churn-train/fit"].end()
    expect(page.locator("#log-state")).to_contain_text("The log has ended")


def test_script_writes_durations_as_the_server_does(page: Page) -> None:
    for seconds in (0, 59, 60, 61, 3_600, 3_725, 86_399, 86_400, 190_000, 31_536_000, 40_000_000):
        assert page.evaluate(f"duration({seconds})") == duration(seconds)


def test_cancel_asks_once_and_names_what_will_happen(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    page.goto(f"{view.url}/jobs/team-a/churn-train")
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("main")).to_contain_text(
        "Run mljob.team-a.churn-train.n3s7nmusm7-1 is cancelled in Airflow."
    )
    expect(page.get_by_role("main")).to_contain_text("This can't be undone.")
    page.get_by_role("link", name="No, go back").click()
    assert "cancel" not in cluster.get("churn-train")["spec"]

    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the MLJob").click()
    page.wait_for_url(f"{view.url}/jobs/team-a/churn-train")
    assert cluster.get("churn-train")["spec"]["cancel"] is True


def test_failed_job_is_retried_from_its_page(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    page.goto(f"{view.url}/jobs/team-a/churn-eval")
    page.locator("#why").get_by_role("link", name="Retry what failed").click()
    page.get_by_role("button", name="Retry what failed").click()
    page.wait_for_url(f"{view.url}/jobs/team-a/churn-eval")

    assert "mljob.dev/retry-requested-at" in cluster.get("churn-eval")["metadata"]["annotations"]


def test_graph_leads_to_the_log_of_a_task(page: Page, view: RunningView) -> None:
    page.goto(f"{view.url}/jobs/team-a/churn-train")
    page.get_by_role("link", name="fit: running 62%").click()

    page.wait_for_url(f"{view.url}/jobs/team-a/churn-train?tab=logs&task=fit")
    expect(page.get_by_role("log")).to_contain_text("epoch 20")


def long_graph(cluster: ViewCluster, length: int) -> list[str]:
    names = [f"step_{number}" for number in range(length)]
    cluster.runs["team-a/churn-train/graph"] = lambda _: showcase.graph("train_churn", names, pairwise(names))
    return names


def test_graph_begins_at_its_first_task_and_shows_that_it_scrolls(
    page: Page, view: RunningView, cluster: ViewCluster
) -> None:
    names = long_graph(cluster, 20)
    page.goto(f"{view.url}/jobs/team-a/churn-train")
    graph = page.get_by_role("group", name="Graph of the tasks of train_churn")
    first, last = (graph.get_by_role("link", name=re.compile(f"^{name}:")) for name in (names[0], names[-1]))
    expect(first).to_be_in_viewport(ratio=1)
    expect(page.locator(".graph-wide .more:visible")).to_have_class(["more more-right"])

    graph.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".graph-wide .more:visible")).to_have_class(["more more-left", "more more-right"])
    last.focus()
    expect(last).to_be_in_viewport(ratio=1)
    graph.evaluate("(graph) => graph.scrollTo(graph.scrollWidth, 0)")
    expect(page.locator(".graph-wide .more:visible")).to_have_class(["more more-left"])


def test_graph_that_is_a_little_too_wide_shrinks_to_the_window(
    page: Page, view: RunningView, cluster: ViewCluster
) -> None:
    names = long_graph(cluster, 8)
    page.goto(f"{view.url}/jobs/team-a/churn-train")
    graph = page.get_by_role("group", name="Graph of the tasks of train_churn")
    natural = graph.locator("svg").first.get_attribute("width")
    assert natural is not None
    assert float(natural) > DESKTOP["width"]
    for name in (names[0], names[-1]):
        expect(graph.get_by_role("link", name=re.compile(f"^{name}:"))).to_be_in_viewport(ratio=1)
    expect(page.locator(".graph-wide .more:visible")).to_have_count(0)


def test_task_that_runs_beyond_the_edge_is_shown(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    names = [*long_graph(cluster, 15), "fit"]
    cluster.runs["team-a/churn-train/graph"] = lambda _: showcase.graph("train_churn", names, pairwise(names))
    page.goto(f"{view.url}/jobs/team-a/churn-train")

    expect(page.get_by_role("link", name=re.compile("^fit: running"))).to_be_in_viewport(ratio=1)
    expect(page.locator(".graph-wide .more:visible").first).to_have_class("more more-left")


@pytest.mark.parametrize("look", ["light", "phone"])
def test_end_of_the_log_opens_with_whole_lines(
    pages: OpenPage, view: RunningView, cluster: ViewCluster, look: str
) -> None:
    # Each line takes two rows on a desktop, and five on a phone.
    log = GrowingLog(*(f"line {number} {'and more of it ' * 12}" for number in range(40)), "ValueError: last")
    log.end()
    cluster.logs["team-a/churn-eval/score"] = log
    page = pages(view.first_url, **LOOKS[look])
    page.goto(f"{view.url}/jobs/team-a/churn-eval")
    tail = page.get_by_role("region", name=re.compile("end of the log"))
    expect(tail.get_by_text("ValueError: last")).to_be_in_viewport(ratio=1)
    cut = tail.evaluate(
        """(tail) => {
            const range = document.createRange();
            range.selectNodeContents(tail);
            const edge = tail.getBoundingClientRect().top + tail.clientTop;
            const rows = [...range.getClientRects()].filter((row) => row.height < 30);
            const lines = [...tail.querySelectorAll(".line")].map((line) => line.getBoundingClientRect());
            const isCut = (box) => box.top < edge - 1 && box.bottom > edge + 2;
            return [rows.filter(isCut).length, lines.filter(isCut).length];
        }"""
    )
    assert cut == [0, 0], "cut rows, and lines that begin above the edge"


def test_log_and_graph_that_arrive_late_scroll_like_those_of_the_first_page(
    page: Page, view: RunningView, cluster: ViewCluster
) -> None:
    log = GrowingLog(*(f"line {number}" for number in range(40)), "ValueError: last")
    log.end()
    cluster.logs["team-a/churn-eval/score"] = log
    names = [*long_graph(cluster, 15), "score"]
    cluster.runs["team-a/churn-eval/graph"] = lambda _: showcase.graph("evaluate_churn", names, pairwise(names))

    with cluster.hold_back("/churn-eval/log", "/churn-eval/graph"):
        page.goto(f"{view.url}/jobs/team-a/churn-eval")
        expect(page.get_by_text("ValueError: last")).to_have_count(0)
    tail = page.get_by_role("region", name=re.compile("end of the log"))
    expect(tail.get_by_text("ValueError: last")).to_be_in_viewport(ratio=1)
    # The graph may be below the window, so only its own scrolling shows that it leads to the failed task.
    expect(page.get_by_role("link", name=re.compile("^score: failed"))).to_be_attached()
    page.wait_for_function("() => document.querySelector('.graph').scrollLeft > 0")


def test_page_of_a_missing_job_leads_back_to_the_list(page: Page, view: RunningView) -> None:
    page.goto(f"{view.url}/jobs/team-a/nothing")
    page.get_by_role("main").get_by_role("link", name="Back to the list").click()

    page.wait_for_url(f"{view.url}/jobs?namespace=team-a")
    expect(page.get_by_role("row", name=re.compile("churn-eval"))).to_be_visible()


def test_filters_of_a_phone_take_two_rows(pages: OpenPage, view: RunningView) -> None:
    page = pages(view.first_url, **LOOKS["phone"])
    show, search = page.get_by_role("button", name="Show").bounding_box(), page.get_by_label("Search").bounding_box()

    assert show is not None
    assert search is not None
    assert show["y"] == pytest.approx(search["y"], abs=4)
    assert show["x"] + show["width"] <= PHONE["width"]
    assert search["width"] >= 100


def test_job_that_never_started_says_why_once(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    message = "The DAG 'trian_churn' does not exist in Airflow prod."
    cluster.replace("refused", "team-a", {"dagId": "trian_churn"}, {"observedGeneration": 1, "phase": "Failed", "reason": "DagNotFound", "message": message})  # fmt: skip
    page.goto(f"{view.url}/jobs/team-a/refused")

    expect(page.get_by_role("heading", name="No task has started")).to_be_visible()
    expect(page.get_by_text(message)).to_have_count(1)


def test_comparison_marks_the_best_and_can_be_ordered_otherwise(page: Page, view: RunningView) -> None:
    page.goto(view.url + COMPARE)
    expect(page.get_by_role("columnheader").nth(1)).to_contain_text("digits-lr-2")
    expect(page.get_by_role("row", name=re.compile("^accuracy")).get_by_role("cell").first).to_contain_text(
        "0.9833 best"
    )

    page.get_by_role("link", name="loss", exact=True).click()
    expect(page.get_by_role("columnheader").nth(1)).to_contain_text("digits-lr-0")
    expect(page.get_by_role("img", name=re.compile("^val_loss"))).to_be_visible()


MARKUP = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"
HOSTILE = MARKUP + "\u202egnp.exe\u0000" + "W" * 3_000


def hostile_job(cluster: ViewCluster) -> None:
    task = {
        "taskId": HOSTILE[:240], "state": HOSTILE[:200], "tryNumber": 1, "startTime": "2026-01-01T00:00:00Z",
        "metrics": {HOSTILE[:60]: 1e300}, "error": {"type": MARKUP, "message": HOSTILE[:400]}, "logUrl": "javascript:window.hacked=1",
    }  # fmt: skip
    status = {
        "observedGeneration": 1, "phase": "Failed", "reason": "R" * 1000, "message": HOSTILE, "currentTask": task["taskId"],
        "tasks": [task], "outputs": {HOSTILE[:120]: HOSTILE, "link": "javascript:window.hacked=1"}, "attempts": 1, "dagRunId": HOSTILE[:250],
        "dagRunUrl": "javascript:window.hacked=1", "progress": "0/1",
        "conditions": [{"type": HOSTILE[:300], "status": "True", "reason": MARKUP, "message": HOSTILE, "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }  # fmt: skip
    cluster.replace("evil", "team-a", {"dagId": HOSTILE[:200].replace("<", "_").replace("\u0000", "_"), "type": MARKUP, "conf": {HOSTILE: [HOSTILE]}}, status)  # fmt: skip
    cluster.logs["team-a/evil/x"] = GrowingLog(HOSTILE, "\x1b]0;title\x07\x1b[2J" + MARKUP, "\x1b[31;1m" + "[" * 10_000, "javascript:window.hacked=1 data:text/html,<script>")  # fmt: skip
    cluster.logs["team-a/evil/x"].end()


@pytest.mark.parametrize("look", ["light", "phone"])
def test_hostile_job_runs_nothing_and_breaks_no_layout(
    pages: OpenPage, view: RunningView, cluster: ViewCluster, look: str
) -> None:
    hostile_job(cluster)
    page = pages(view.first_url, **LOOKS[look])
    paths = ["/jobs", "/jobs/team-a/evil", *(f"/jobs/team-a/evil?tab={tab}" for tab in ("metrics", "logs", "outputs", "conf", "attempts", "events")), "/jobs/team-a/evil/actions/retry", "/compare?job=team-a/evil&job=team-a/digits-lr-0", f"/jobs?text={MARKUP}&label={MARKUP}&namespace=%22%3E", "/platform"]  # fmt: skip
    for path in paths:
        page.goto(view.url + path)
        if path != paths[-2]:
            settled(page)
        assert page.evaluate("window.hacked") is None, path
        assert not page.locator("main img, main script, main iframe, main style").count(), path
        assert not page.locator("[href^='javascript' i], [href^='data' i]").count(), path
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, f"{path}: {over} pixels wider than the window"
        for row in page.locator("[data-row]").all()[:20]:
            box = row.bounding_box()
            assert box is None or box["height"] < (1_200 if look == "phone" else 250), (
                f"{path}: a row is {box['height']} pixels high"
            )
