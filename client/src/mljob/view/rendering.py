"""Renders the Jinja templates of the view as HTML.

When a template inserts a text, the renderer cuts the text to a maximum length, replaces unsafe
characters such as control characters, and escapes the text. Texts of the type ``Markup`` are
inserted unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..render.numbers import number
from ..render.times import duration
from .pages.job_tab import tab_query
from .pages.outside_text import MAX_VALUE, clean, cut, is_web_link

STATIC: Final = Path(__file__).resolve().parent / "static"
"""The style sheet, the script and the icon."""


def _cleaned(value: Any) -> Any:
    # Markup is a subclass of str: what templates have made is left as it is.
    return clean(cut(value, MAX_VALUE)) if type(value) is str else value


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


@cache
def fingerprint(name: str) -> str:
    """Return a hash of a static file. The file's URL contains the hash, so that a browser may cache
    the file forever: a changed file has another URL.
    """
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:16]


class Renderer:
    """Makes HTML from the Jinja templates of the view.

    Args:
        base: The path under which the view is served, without a slash at its end.
    """

    def __init__(self, base: str = "") -> None:
        self._base = base
        self._environment = Environment(
            loader=PackageLoader("mljob.view"),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_cleaned,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(duration=duration, number=number, utc=_utc, urlencode=_quoted)
        self._environment.tests["is_web_link"] = is_web_link
        self._environment.filters["is_web_link"] = lambda url: isinstance(url, str) and is_web_link(url)
        self._environment.globals.update(
            base=base,
            static=self._static,
            job_url=self.job_url,
            tab_query=tab_query,
            carried="",
            section="",
            events="",
            version="",
        )

    def render(self, template: str, **values: Any) -> Markup:
        """Return the HTML that a template makes from ``values``. Texts in ``values`` are escaped,
        except texts of the type ``Markup``.
        """
        return Markup(self._environment.get_template(template).render(values))  # noqa: S704 - autoescape is on

    def fragments(self, templates: Mapping[str, str], **values: Any) -> dict[str, Markup]:
        """Return the HTML of several elements of a page, as a dict by element id.

        Args:
            templates: For each element id, the name of the template that makes the element.
            values: The variables of the templates.
        """
        return {name: self.render(template, **values) for name, template in templates.items()}

    def job_url(self, namespace: str, name: str) -> str:
        """Return the URL of an MLJob's page."""
        return f"{self._base}/jobs/{_quoted(namespace)}/{_quoted(name)}"

    def _static(self, name: str) -> str:
        return f"{self._base}/static/{fingerprint(name)}/{name}"
