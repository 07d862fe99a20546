"""``/jobs/{namespace}/{name}/actions/{verb}``: the page that asks a person to confirm an action on
an MLJob, such as a retry, and the request that carries out the action.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from ...aio.job import AsyncJob
from ...errors import NotFound
from ...resource import MLJob
from ..access import is_same_origin
from ..pages.actions import Action, Verb, actions_for
from ..pages.obstacles import too_late
from ..person import Person, Reads
from ..site import Site
from .job import JOB

MAX_FORM: Final = 4 * 1024
"""The maximum size of a form, in bytes."""
_REQUESTS: Final[dict[Verb, Callable[[AsyncJob], Awaitable[Any]]]] = {
    Verb.RETRY: AsyncJob.retry,
    Verb.CANCEL: AsyncJob.cancel,
    Verb.SUSPEND: AsyncJob.suspend,
    Verb.RESUME: AsyncJob.resume,
    Verb.DELETE: AsyncJob.delete,
}


class ActionRoutes:
    """The routes of an action on an MLJob, such as a retry: GET returns the page that asks for a
    confirmation, and POST carries out the action.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> list[Route]:
        """Return the routes, for the view's Starlette application."""
        return [Route(f"{JOB}/actions/{{verb}}", self._site.answer(self._action), methods=["GET", "POST"])]

    async def _action(self, request: Request, person: Person, reads: Reads) -> Response:
        job = await self._job(request, reads)
        verb = request.path_params["verb"][:20]
        action = next((one for one in actions_for(job) if one.verb == verb), None)
        back = self._site.renderer.job_url(job.namespace, job.name)
        if action is None:
            return self._site.obstacle(too_late(job.name, verb, back))
        if request.method != "POST":
            return self._confirmation(action, job, person)
        form = await _form(request)
        if not is_same_origin(request) or not person.is_form_token(form.get("form-token", "")):
            return PlainTextResponse("This form is not from a page of this view. Load the page again.", 403)
        if form.get("uid") != job.uid:
            return self._site.obstacle(too_late(job.name, verb, back))
        await _REQUESTS[action.verb](AsyncJob(person.transport, job))
        is_gone = action.verb is Verb.DELETE
        return RedirectResponse(f"/jobs?namespace={quote(job.namespace, safe='')}" if is_gone else back, 303)

    async def _job(self, request: Request, reads: Reads) -> MLJob:
        namespace, name = request.path_params["namespace"][:63], request.path_params["name"][:253]
        feed = await reads.job(namespace, name)
        await feed.ready()
        if name not in feed.items:
            raise NotFound(f"Namespace {namespace} has no MLJob {name}.", code=404)
        return feed.items[name]

    def _confirmation(self, action: Action, job: MLJob, person: Person) -> Response:
        html = self._site.renderer.render(
            "action.html",
            title=f"{action.label} {job.name}",
            action=action,
            job=job,
            form_token=person.form_token,
            section="jobs",
        )
        return HTMLResponse(html)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return {}
    try:
        fields = parse_qs(body.decode(errors="replace"), max_num_fields=20)
    except ValueError:
        return {}
    return {name: values[0] for name, values in fields.items()}
