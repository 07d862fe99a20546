"""What a person sees while they wait: one line when a step starts, signs of life while it runs, one line when it ends.

Standard library only, because `bootstrap` speaks before anything is installed. Steps run at the same time, so every
line is whole and names its step; nothing is redrawn in place, so a log file reads like the terminal did.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 20.0

_lock = threading.Lock()


def say(text: str) -> None:
    """Print one whole line at once, whoever else prints."""
    with _lock:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def elapsed(seconds: float) -> str:
    """How long something took, in the unit that a person would use."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"


@contextmanager
def step(name: str, what: str, detail: Callable[[], str] | None = None) -> Iterator[None]:
    """Announce a step, say now and then that it still runs (with `detail`, if any), and say how it ended."""
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
