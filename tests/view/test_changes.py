"""Pages that are open in a browser show the changes of MLJobs."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from mljob.kubeconfig import ClusterConfig
from tests.fakes.mljob_cluster import Answer, Asked, Object, refusal
from tests.fakes.view_cluster import ViewCluster
from tests.view.conftest import PHONE, OpenPage
from tests.view.serving import RunningView, view_behind_proxy
from tests.view.test_pages import settled

LIVE = "live"


def move(cluster: ViewCluster, name: str, namespace: str = "team-a", **status: object) -> Object:
    return cluster.put(name, namespace, status={**cluster.get(name, namespace)["status"], **status})


def row_of(page: Page, name: str) -> Locator:
    return page.locator("[data-row]", has=page.get_by_role("link", name=name, exact=True))


def test_row_changes_in_place_and_is_said_once(page: Page, cluster: ViewCluster) -> None:
    settled(page)
    page.evaluate("window.sameDocument = true")
    link = page.get_by_role("link", name="churn-train")
    link.focus()
    page.evaluate("() => { const row = document.activeElement.closest('tr'); row.mark = 'the same element'; row.querySelector('input').checked = true; }")  # fmt: skip
    page.evaluate("() => { const range = document.createRange(); range.selectNodeContents(document.querySelector('.summary p')); getSelection().addRange(range); }")  # fmt: skip
    page.evaluate("scrollTo(0, 150)")
    scrolled = page.evaluate("scrollY")

    move(cluster, "churn-train", phase="Succeeded", progress="10/10", percent=100)

    row = row_of(page, "churn-train")
    expect(row).to_contain_text("Succeeded")
    expect(row).to_contain_text("10/10")
    expect(link).to_be_focused()
    expect(page.locator("#say")).to_have_text("churn-train: Succeeded.")
    assert page.evaluate("() => { const row = document.activeElement.closest('tr'); return [row.mark, row.querySelector('input').checked, window.sameDocument] }") == ["the same element", True, True]  # fmt: skip
    assert page.evaluate("getSelection().toString()") == "15 MLJobs"
    assert page.evaluate("scrollY") == scrolled


def test_new_job_comes_first_and_a_deleted_one_goes(page: Page, cluster: ViewCluster) -> None:
    settled(page)
    cluster.replace(
        "brand-new", "team-a", {"dagId": "dag", "type": "Custom"}, {"phase": "Pending"}, "2030-01-01T00:00:00Z"
    )
    expect(page.locator("[data-row]").first).to_contain_text("brand-new")
    expect(page.locator("#summary")).to_contain_text("16 MLJobs")

    page.locator("[data-row]").first.get_by_role("link").focus()
    cluster.remove("brand-new")
    expect(page.get_by_text("brand-new")).to_have_count(0)
    expect(page.locator("[data-row]").first.get_by_role("link")).to_be_focused()


def test_job_that_matches_no_more_leaves_the_filtered_list(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    page.goto(f"{view.url}/jobs?phase=Running")
    settled(page)
    move(cluster, "churn-train", phase="Succeeded")

    expect(page.locator("[data-row]")).to_have_count(1)
    move(cluster, "nightly-enrich", "team-b", phase="Running")
    expect(page.locator("[data-row]").nth(1)).to_contain_text("nightly-enrich")


def test_job_page_moves_with_the_job(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    page.goto(f"{view.url}/jobs/team-a/churn-train")
    settled(page)
    tasks = cluster.get("churn-train")["status"]["tasks"]
    moved = [
        {**task, "state": "success", "endTime": task["startTime"]} if task["taskId"] == "fit" else task
        for task in tasks
    ]
    move(
        cluster, "churn-train", message="Task evaluate is running (8/10 tasks succeeded).", progress="8/10", tasks=moved
    )

    expect(page.locator("#head")).to_contain_text("Task evaluate is running")
    expect(page.get_by_role("link", name="fit: success")).to_be_visible()
    expect(page).to_have_title(re.compile("churn-train: Running"))
    move(cluster, "churn-train", phase="Failed", message="Task evaluate failed", currentTask="evaluate", completionTime="2026-11-01T00:00:00Z")  # fmt: skip
    expect(page.get_by_role("heading", name="Task evaluate failed")).to_be_visible()
    expect(page).to_have_title(re.compile("churn-train: Failed"))


def test_deleted_job_says_so(page: Page, view: RunningView, cluster: ViewCluster) -> None:
    page.goto(f"{view.url}/jobs/team-a/churn-train")
    settled(page)
    cluster.remove("churn-train")

    expect(page.get_by_role("heading", name="There is no such MLJob")).to_be_visible()
    expect(page.get_by_text("Namespace team-a has no MLJob churn-train.")).to_be_visible()
    expect(page).to_have_url(f"{view.url}/jobs/team-a/churn-train")


def test_durations_tick_without_the_network(page: Page, view: RunningView) -> None:
    page.goto(f"{view.url}/jobs/team-a/churn-train")
    took = page.locator("#head time[data-clock=for]")
    before = took.text_content()

    expect(took).not_to_have_text(before or "")
    expect(took).to_have_attribute("title", re.compile(r"\d{4}|AM|PM"))


def test_lost_watch_of_the_cluster_is_told_and_comes_back(page: Page, cluster: ViewCluster) -> None:
    settled(page)
    usual = cluster.interfere

    def broken(asked: Asked) -> Answer | None:
        return refusal(503, "ServiceUnavailable", "etcd is away")

    cluster.interfere = broken
    cluster.cut()
    live = page.locator("#live")
    expect(live).to_contain_text("not live since")
    expect(live).to_have_attribute("title", re.compile("etcd is away"))

    cluster.interfere = usual
    move(cluster, "churn-train", phase="Succeeded")
    expect(live).to_have_text(LIVE)
    expect(row_of(page, "churn-train")).to_contain_text("Succeeded")


def test_restarted_view_is_found_again_with_all_that_changed_meanwhile(
    pages: OpenPage, config: ClusterConfig, cluster: ViewCluster
) -> None:
    headers = {"Authorization": "Bearer viewer"}
    with view_behind_proxy(config) as view:
        page = pages(f"{view.url}/jobs", extra_http_headers=headers)
        settled(page)
        page.evaluate("window.sameDocument = true")
        port = int(view.url.rpartition(":")[2])
    expect(page.locator("#live")).to_contain_text("not live since")
    move(cluster, "churn-train", phase="Succeeded")
    cluster.remove("nightly-enrich", "team-b")

    with view_behind_proxy(config, port):
        expect(page.locator("#live")).to_have_text(LIVE)
        expect(row_of(page, "churn-train")).to_contain_text("Succeeded")
        expect(page.get_by_text("nightly-enrich")).to_have_count(0)
        assert page.evaluate("window.sameDocument")


def test_page_reconnects_after_a_sleep(pages: OpenPage, view: RunningView, cluster: ViewCluster) -> None:
    page = pages(view.first_url)
    page.clock.install()
    page.goto(f"{view.url}/jobs")
    settled(page)
    page.evaluate("() => { window.opened = 0; const Real = EventSource; window.EventSource = class extends Real { constructor(...given) { super(...given); window.opened += 1; } } }")  # fmt: skip

    page.clock.fast_forward(120_000)
    page.wait_for_function("() => window.opened > 0")
    page.clock.run_for(2_000)
    move(cluster, "churn-train", phase="Succeeded")
    expect(row_of(page, "churn-train")).to_contain_text("Succeeded")
    expect(page.locator("#live")).to_have_text(LIVE)


def test_phone_shows_changes_too(pages: OpenPage, view: RunningView, cluster: ViewCluster) -> None:
    page = pages(view.first_url, viewport=PHONE, has_touch=True)
    settled(page)
    move(cluster, "churn-train", phase="Succeeded")

    expect(row_of(page, "churn-train")).to_contain_text("Succeeded")
