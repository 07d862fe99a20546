"""Prints the progress of a step on the terminal: a line at the start, a line every 20 seconds, and
a line at the end.

This module uses only the standard library, because `bootstrap` prints before any package is
installed. `devstack.terminal` can print the lines in colour. Several steps run at the same time. So
each line names its step, and no line is overwritten. If the output goes to a file, the file gets
the same lines.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 20.0

_lock = threading.Lock()


def _write(line: str) -> None:
    with _lock:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


_print: Callable[[str], None] = _write


def print_with(function: Callable[[str], None]) -> None:
    """Let `function` print all later lines, for example in colour. Several threads call `function`
    at the same time, so `function` must write each line as a whole.
    """
    global _print
    _print = function


def say(text: str) -> None:
    """Print one line on standard error, or with the function that was passed to `print_with`."""
    _print(text)


def elapsed(seconds: float) -> str:
    """Return a duration as a text for people, for example "12.3s" or "2m05s"."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


@contextmanager
def step(name: str, what: str, detail: Callable[[], str] | None = None) -> Iterator[None]:
    """Print a line when a step starts, a line every 20 seconds while the step is running, and a
    line that says how the step ended. The step is the code in the `with` block.

    Args:
        name: A name at the beginning of each line, for example the name of a component.
        what: The work of the step, for example "installing".
        detail: Returns a text that is added to the lines about the running step, for example how
            much is done.
    """
    started = time.monotonic()
    done = threading.Event()
    say(f"  {name:<24} {what} ...")

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            more = f" ({detail()})" if detail and detail() else ""
            say(f"  {name:<24} ... still {what}, {elapsed(time.monotonic() - started)}{more}")

    heart = threading.Thread(target=beat, daemon=True)
    heart.start()
    try:
        yield
    except BaseException:
        done.set()
        heart.join()
        say(f"  {name:<24} failed after {elapsed(time.monotonic() - started)}")
        raise
    done.set()
    heart.join()
    say(f"  {name:<24} done ({elapsed(time.monotonic() - started)})")
