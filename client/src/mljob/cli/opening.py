"""The commands ``open`` and ``ui``."""

from __future__ import annotations

from typing import Annotated

import typer

from . import completion
from .exits import Exit
from .options import Name, with_groups
from .session import Session


def add_to(app: typer.Typer) -> None:
    """Add the commands ``open`` and ``ui`` to ``app``."""
    app.command("open")(with_groups(open_run))
    app.command()(with_groups(ui))


def open_run(
    session: Session,
    name: Name,
    task: Annotated[
        str | None, typer.Argument(help="A task, to open its log.", autocompletion=completion.tasks, show_default=False)
    ] = None,
    print_: Annotated[bool, typer.Option("--print", help="Print the address instead.")] = False,
) -> int:
    """Open the run of an MLJob in Airflow.

    Opens the page of the run in the browser. Without a browser, prints the address of the page.
    """
    from mljob_contract.task_page import task_page

    from ..findings import meant
    from ..render import fields
    from ..render.explanation import safe_url
    from ..render.tasks import tasks_of

    job = session.job(name)
    run = safe_url(fields.text(job.state.raw_status, "dagRunUrl"))
    if task is None:
        url, what = run, "no run yet"
    else:
        tasks = {each.task_id: each for each in tasks_of(job.state.raw_status)}
        known = ", ".join(list(tasks)[:20]) or "none yet"
        what = f"no page of task {task[:100]!r}{meant(task, tasks)}. Its tasks: {known}"
        found = tasks.get(task)
        page = task_page(run, task) if found and run else ""
        url = safe_url(found.url if found and found.url else page)
    if not url:
        typer.echo(f"Error: MLJob {job.name} has {what}.", err=True)
        return Exit.ERROR
    if print_ or not _open_browser(url):
        typer.echo(url)
    return Exit.SUCCESS


def ui(
    session: Session,
    port: Annotated[
        int,
        typer.Option(
            metavar="NUMBER", min=0, max=65535, help="The port on 127.0.0.1. Default: a free one.", show_default=False
        ),
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the browser.")] = True,
) -> int:
    """Show MLJobs live in the browser.

    The page can be reached only from this machine, and only by the first browser that opens its
    address. The page has your own rights in Kubernetes.
    """
    from importlib.util import find_spec

    missing = [module for module in ("starlette", "uvicorn", "jinja2") if find_spec(module) is None]
    if missing or find_spec("mljob.view") is None:
        typer.echo("Error: the view is not installed. Install it: pip install 'mljob[view]'", err=True)
        return Exit.ERROR
    import asyncio
    from dataclasses import replace
    from importlib import import_module

    from .first_page import first_page

    client = session.client
    config = replace(client.transport.config, namespace=client.namespace)
    with first_page() as page_of:

        def started(url: str) -> None:
            typer.echo(f"The view is at {url}\nThe address lets one browser in. Ctrl-C ends it.", err=True)
            if browser:
                _open_browser(page_of(url))

        # The view is an extra, so its package may be absent.
        asyncio.run(import_module("mljob.view.server").serve_locally(config, port, started))
    return Exit.SUCCESS


def _open_browser(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
