"""Takes the screenshots of the web view in ``docs/pictures``: ``python -m tests.view.screenshots``."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from devstack import chromium
from devstack.progress import say, step
from mljob.kubeconfig import ClusterConfig
from tests.fakes.view_cluster import ViewCluster
from tests.view import showcase
from tests.view.serving import local_view

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
PAGES = {
    "list": "/jobs",
    "job": "/jobs/team-a/churn-train",
    "failed": "/jobs/team-a/churn-eval",
    "metrics": "/jobs/team-a/churn-train?tab=metrics",
    "compare": "/compare?" + "&".join(f"job=team-a/digits-lr-{number}" for number in range(4)),
    "platform": "/platform",
}
LOOKS = {
    "light": ({"width": 1200, "height": 820}, "light", tuple(PAGES)),
    "dark": ({"width": 1200, "height": 820}, "dark", ("list", "job", "compare")),
    "phone": ({"width": 390, "height": 844}, "light", ("list", "failed", "compare")),
}
COLOURS = 256


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    program = chromium.program()
    with ViewCluster() as cluster, sync_playwright() as playwright:
        showcase.fill(cluster)
        browser = playwright.chromium.launch(
            executable_path=str(program), args=list(chromium.ARGUMENTS), env=dict(chromium.environment(program))
        )
        config = ClusterConfig(cluster.url, context="showcase", namespace="team-a")
        with step("screenshots", "docs/pictures"):
            for look, (size, scheme, names) in LOOKS.items():
                page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
                with local_view(config) as view:  # each view lets one browser in
                    page.goto(view.first_url)
                    page.wait_for_url("**/jobs*")
                    for name in names:
                        page.goto(view.url + PAGES[name])
                        page.wait_for_selector("#live[data-state=live]")
                        if name in ("metrics", "compare"):
                            page.wait_for_selector(".curve")
                        _write(page, PICTURES / f"view-{name}-{look}.png")
                    page.close()
        browser.close()
    say(f"  written to {PICTURES.relative_to(PICTURES.parents[1])}")


def _write(page: Page, path: Path) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
