from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect, sync_playwright

from devstack import chromium
from mljob.kubeconfig import ClusterConfig
from tests.fakes.view_cluster import ViewCluster
from tests.view import showcase
from tests.view.serving import RunningView, local_view

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

PATIENCE = 180_000
"""The maximum number of milliseconds until a page shows the content that a test waits for. A busy
machine needs that many.
"""
expect.set_options(timeout=PATIENCE)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium.program()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(program), args=list(chromium.ARGUMENTS), env=dict(chromium.environment(program))
        )
        yield browser
        browser.close()


@pytest.fixture
def cluster() -> Iterator[ViewCluster]:
    with ViewCluster() as cluster:
        showcase.fill(cluster)
        yield cluster


@pytest.fixture
def config(cluster: ViewCluster) -> ClusterConfig:
    return ClusterConfig(cluster.url, context="test", namespace="team-a")


@pytest.fixture
def view(config: ClusterConfig) -> Iterator[RunningView]:
    with local_view(config) as view:
        yield view


@pytest.fixture
def pages(browser: Browser) -> Iterator[OpenPage]:
    """A function that opens a URL of the view in a new window of the browser, and returns the page.
    The test fails if a script of the page raises an error, or if the page opens a dialog or
    violates its Content Security Policy.
    """
    problems: list[str] = []
    with ExitStack() as at_the_end:

        def open_page(first_url: str, **options: Any) -> Page:
            context = browser.new_context(**{"viewport": DESKTOP, **options})
            at_the_end.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.on("pageerror", lambda error: problems.append(f"error of a script: {error}"))
            page.on("dialog", lambda dialog: _refuse(problems, dialog))
            page.on("console", lambda message: _note(problems, message.text))
            page.goto(first_url)
            page.wait_for_url(re.compile("/jobs"))
            # A page that says that it is loading reloads itself.
            page.wait_for_function("() => !document.querySelector('meta[http-equiv=refresh]')")
            return page

        yield open_page
    assert not problems


def _refuse(problems: list[str], dialog: Dialog) -> None:
    problems.append(f"dialog: {dialog.message}")
    dialog.dismiss()


def _note(problems: list[str], text: str) -> None:
    if "Content Security Policy" in text or "Refused to" in text:
        problems.append(text)


@pytest.fixture
def page(pages: OpenPage, view: RunningView) -> Page:
    return pages(view.first_url)
