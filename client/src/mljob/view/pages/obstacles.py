"""The pages that a person sees instead of data: the problem, its cause, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import (
    ApiError,
    InvalidArgument,
    InvalidResource,
    KindNotServed,
    MLJobError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PluginFailed,
    Unavailable,
)
from .outside_text import cut


@dataclass(frozen=True, slots=True)
class Obstacle:
    """The content of a page that a person sees instead of data, for example because of an error.

    Attributes:
        code: The HTTP status.
        cause: Why the page shows no data, in a sentence.
        steps: What to do, one sentence each.
        links: The URL and the text of each button.
        asks_namespace: Whether the page has a form that asks for a namespace.
        namespace: The text that is already in the form.
        again_seconds: The seconds after which the browser loads the page again. None means never.
    """

    code: int
    title: str
    cause: str
    steps: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    asks_namespace: bool = False
    namespace: str = ""
    again_seconds: int | None = None


def obstacle_of(error: MLJobError, *, again: str, jobs: str, namespace: str = "") -> Obstacle:
    """Return the Obstacle that a person sees after an error. Depending on the error, the page has a
    button that tries again, a button that opens the list of MLJobs, or a form that asks for a
    namespace.

    Args:
        error: The error. The text of the error is the cause on the page.
        again: The URL of the button that tries again.
        jobs: The URL of the list of MLJobs.
        namespace: The person's default namespace, which the form contains from the start.
    """
    cause = cut(str(error))
    links = ((again, "Try again"),)
    if isinstance(error, NotAllowed):
        steps = ("A list of one namespace needs rights in that namespace only.",)
        return Obstacle(403, "You may not see this", cause, steps, asks_namespace=True, namespace=namespace)
    if isinstance(error, InvalidArgument):
        return Obstacle(400, "The address is wrong", cause, asks_namespace=True, namespace=namespace)
    if isinstance(error, NotAuthenticated):
        return Obstacle(401, "You are not signed in", cause, ("Sign in again, then reload this page.",), links)
    if isinstance(error, KindNotServed):
        return Obstacle(503, "MLJobs are not installed", cause, links=links)
    if isinstance(error, NotFound):
        steps = ("It may have been deleted, or the name may have a typing error.",)
        return Obstacle(404, "There is no such MLJob", cause, steps, ((jobs, "Back to the list"),))
    if isinstance(error, Unavailable):
        title = "There are no credentials" if isinstance(error, PluginFailed) else "The API server does not answer"
        return Obstacle(503, title, cause, ("This page tries again by itself.",), links, again_seconds=5)
    code = 502 if isinstance(error, ApiError | InvalidResource) else 500
    return Obstacle(code, "This page can't be shown", cause, links=links)


def loading() -> Obstacle:
    """Return the page that a person sees while the view reads the data. The browser tries again
    after a second.
    """
    cause = "The view reads all that you may see, once. After that, only changes are read."
    return Obstacle(200, "Loading …", cause, ("The page shows it as soon as it is there.",), again_seconds=1)


def not_signed_in(again: str, ways_in: Sequence[str]) -> Obstacle:
    """Return the page for a request that does not prove who the person is.

    Args:
        again: The URL of the button that tries again.
        ways_in: Sentences that tell the person how to prove who they are.
    """
    return Obstacle(
        401,
        "You are not signed in",
        "The view shows MLJobs with your rights, so it must know who you are.",
        tuple(ways_in),
        ((again, "Open the page again"),),
    )


def too_late(name: str, verb: str, back: str) -> Obstacle:
    """Return the page for an action that is not possible in the MLJob's present state."""
    cause = f"{name} has changed since the page was loaded, or {verb} does not fit its state."
    return Obstacle(
        409, "Nothing was done", cause, ("Look at its state, and decide again.",), ((back, f"Back to {name}"),)
    )


def no_page(home: str) -> Obstacle:
    """Return the page for a URL that does not exist."""
    return Obstacle(404, "There is no such page", "The address leads nowhere.", links=((home, "Jobs"),))
