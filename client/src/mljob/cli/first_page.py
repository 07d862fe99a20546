"""A local HTML page that only the user's account can read. The page redirects the user's browser to
a URL with a token.
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
    """Yield a function that takes a URL with a token, writes a page that redirects to this URL, and
    returns the ``file:`` URL of the page. The function can be called once. At the end of the
    ``with`` block, the page is deleted.

    Other people on the machine can see the arguments of the browser's process, but must not see the
    token. So the browser is started with the URL of a file that only its owner can read.
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
