"""The live view in Chromium: users see, retry, compare and cancel runs of their own namespaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from devstack.operator_process import RELEASE
from devstack.stack import Stack
from mljob import Client
from mljob.kubeconfig import load
from tests.conftest import NewInstallation
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.view.conftest import OpenPage, browser, pages  # noqa: F401 - fixtures
from tests.view.serving import RunningView, local_view, view_behind_proxy
from tests.view.test_pages import settled

DAG = "client_training"
LIMIT = 300.0
"""Seconds until a run must have ended."""
SOON = 60_000
"""The maximum number of milliseconds until a page shows a change of the cluster."""


@pytest.fixture(scope="module")
def viewed(new_installation: NewInstallation) -> Installation:
    # mljob-api reads runs with the prefix of the chart's default.
    return new_installation("view", MLJOB_RUN_ID_PREFIX="mljob")


@pytest.fixture(scope="module")
def client(viewed: Installation, stack: Stack) -> Iterator[Client]:
    client = Client(viewed.jobs.namespace, kubeconfig=stack.kubeconfig)
    yield client
    client.close()


@pytest.fixture
def view(viewed: Installation, stack: Stack) -> Iterator[RunningView]:
    """A running view. A view admits only one browser, so each test needs its own view."""
    with local_view(load(stack.kubeconfig, namespace=viewed.jobs.namespace)) as view:
        yield view


@pytest.fixture
def page(pages: OpenPage, view: RunningView, viewed: Installation) -> Page:  # noqa: F811
    page = pages(view.first_url)
    page.goto(f"{view.url}/jobs?namespace={viewed.jobs.namespace}")
    return page


def row_of(page: Page, name: str) -> Locator:
    return page.locator("[data-row]", has=page.get_by_role("link", name=name, exact=True))


def test_submitted_job_is_seen_to_move_with_graph_curve_and_log(page: Page, client: Client) -> None:
    settled(page)
    page.evaluate("window.sameDocument = true")
    client.submit(DAG, {"rate": 0.3, "epochs": 4}, name="moving")

    row = row_of(page, "moving")
    expect(row).to_be_visible(timeout=SOON)
    expect(row).to_contain_text("Succeeded", timeout=LIMIT * 1000)
    assert page.evaluate("window.sameDocument"), "the page was not loaded again"

    row.get_by_role("link", name="moving").click()
    expect(page.get_by_role("link", name="prepare: success")).to_be_visible(timeout=SOON)
    expect(page.get_by_role("link", name="fit: success")).to_be_visible()
    page.get_by_role("link", name="Metrics").click()
    expect(page.get_by_role("img", name=re.compile(r"^loss\. fit: loss is 0\.25"))).to_be_visible(timeout=SOON)
    page.get_by_role("link", name="Outputs").click()
    expect(page.get_by_role("region", name="Outputs")).to_contain_text("accuracy")
    page.goto(page.url.partition("?")[0] + "?tab=logs&task=prepare")
    expect(page.get_by_role("log")).to_contain_text("looking for the data", timeout=SOON)
    expect(page.locator("#log-state")).to_contain_text("The log has ended", timeout=SOON)


def test_failed_job_says_why_and_is_retried_after_the_repair(page: Page, client: Client, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    client.submit(DAG, {"data": str(data)}, name="mended")
    row = row_of(page, "mended")
    expect(row).to_contain_text("Failed", timeout=LIMIT * 1000)
    expect(row).to_contain_text("FileNotFoundError")

    row.get_by_role("link", name="mended").click()
    expect(page.get_by_role("heading", name="Task prepare failed")).to_be_visible()
    expect(page.get_by_role("region", name=re.compile("end of the log"))).to_contain_text("no data at", timeout=SOON)

    data.touch()
    page.locator("#why").get_by_role("link", name="Retry what failed").click()
    page.get_by_role("button", name="Retry what failed").click()
    expect(page.locator("#head")).to_contain_text("Succeeded", timeout=LIMIT * 1000)
    page.get_by_role("link", name="Attempts").click()
    expect(page.get_by_role("region", name="Attempts")).to_contain_text("Attempt 1")


def test_jobs_of_a_sweep_are_chosen_and_compared(page: Page, client: Client) -> None:
    for job in client.sweep(DAG, {"rate": [0.1, 0.3]}, name="seen", conf={"epochs": 2}):
        job.wait(timeout=LIMIT)
    page.get_by_label("Label").fill("mljob.dev/sweep=seen")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("[data-row]")).to_have_count(2, timeout=SOON)
    for box in page.locator("[data-row] input[type=checkbox]").all():
        box.check()
    page.get_by_role("button", name="Compare 2 chosen").click()

    expect(page.get_by_role("row", name=re.compile("^accuracy"))).to_contain_text(re.compile(r"1.*best.*0\.8"))
    expect(page.get_by_role("row", name=re.compile("^rate"))).to_contain_text("0.3")
    expect(page.get_by_role("img", name=re.compile(r"^loss\."))).to_be_visible(timeout=SOON)


def test_waiting_job_says_what_it_waits_for_and_is_cancelled(page: Page, client: Client) -> None:
    client.submit("not_deployed_yet", name="waiting")
    row = row_of(page, "waiting")
    expect(row).to_contain_text("not_deployed_yet", timeout=SOON)
    expect(row).to_contain_text("Pending", timeout=SOON)

    row.get_by_role("link", name="waiting").click()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the MLJob").click()
    expect(page.locator("#head")).to_contain_text("Cancelled", timeout=SOON)


@dataclass(frozen=True)
class Viewer:
    namespace: str
    headers: dict[str, str]


def viewer(kubectl: Kubectl, namespace: str, name: str, role: str | None) -> Viewer:
    """Create a ServiceAccount in ``namespace``, and return a Viewer with a token of the
    ServiceAccount. ``role`` is the end of the name of a ClusterRole from the Helm chart, such as
    ``viewer``. The ServiceAccount gets this role in ``namespace``. If ``role`` is None, the
    ServiceAccount gets no role.
    """
    within = kubectl.within(namespace)
    within("create", "serviceaccount", name)
    if role is not None:
        within("create", "rolebinding", name, f"--clusterrole={RELEASE}-{role}", f"--serviceaccount={namespace}:{name}")
    return Viewer(namespace, {"Authorization": f"Bearer {within('create', 'token', name).strip()}"})


@pytest.fixture(scope="module")
def behind_proxy(stack: Stack) -> Iterator[RunningView]:
    with view_behind_proxy(load(stack.kubeconfig)) as view:
        yield view


def test_viewers_see_their_own_namespaces_and_no_others(
    pages: OpenPage,  # noqa: F811
    behind_proxy: RunningView,
    viewed: Installation,
    new_installation: NewInstallation,
    client: Client,
    kubectl: Kubectl,
) -> None:
    client.submit("not_deployed_yet", name="of-the-first")
    other = new_installation("view-other", start=False).jobs.namespace
    client.submit("not_deployed_yet", name="of-the-second", namespace=other)
    first, second_viewer = (
        viewer(kubectl, namespace, "viewer", "viewer") for namespace in (viewed.jobs.namespace, other)
    )

    for who, sees, never in ((first, "of-the-first", other), (second_viewer, "of-the-second", viewed.jobs.namespace)):
        page = pages(f"{behind_proxy.url}/jobs?namespace={who.namespace}", extra_http_headers=who.headers)
        expect(row_of(page, sees)).to_be_visible(timeout=SOON)
        for path in (f"/jobs?namespace={never}", "/jobs", f"/jobs/{never}/of-the-first"):
            page.goto(behind_proxy.url + path)
            expect(page.get_by_role("heading", name="You may not see this")).to_be_visible()

    page = pages(f"{behind_proxy.url}/jobs/{first.namespace}/of-the-first", extra_http_headers=first.headers)
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the MLJob").click()
    expect(page.get_by_role("main")).to_contain_text("cannot patch resource")
    assert client.get("of-the-first").state.raw_spec.get("cancel") is not True


def test_viewer_without_rights_is_told_which_right_is_missing(
    pages: OpenPage,  # noqa: F811
    behind_proxy: RunningView,
    viewed: Installation,
    kubectl: Kubectl,
) -> None:
    nobody = viewer(kubectl, viewed.jobs.namespace, "nobody", None)
    page = pages(f"{behind_proxy.url}/jobs?namespace={nobody.namespace}", extra_http_headers=nobody.headers)

    expect(page.get_by_role("heading", name="You may not see this")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text('cannot list resource "mljobs"')
    page = pages(f"{behind_proxy.url}/jobs", extra_http_headers={"Authorization": "Bearer no-such-token"})
    expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
