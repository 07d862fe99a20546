"""A local HTML page that redirects the user's browser to a URL with a token. Only the user's
account can read the page.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def first_page() -> Iterator[Callable[[str], str]]:
    """Yield a function that takes a URL. The function writes a page that redirects to this URL, and
    returns the ``file:`` URL of the page. Call the function only once. The page is deleted at the
    end of the ``with`` block.

    Other people on the machine can see the arguments of the browser's process, but can't read the
    page. So the token in the URL stays secret.
    """
    with TemporaryDirectory(prefix="mljob-ui-") as folder:

        def write(url: str) -> str:
            path = Path(folder, "first.html")
            address = html.escape(url)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(
                    '<!doctype html><html lang="en"><meta charset="utf-8"><title>MLJobs</title>'
                    f'<meta http-equiv="refresh" content="0;url={address}"><p><a href="{address}">MLJobs</a></p></html>\n'
                )
            return path.as_uri()

        yield write
