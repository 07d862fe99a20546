"""Runs a program, and starts the program again when it ends, as the kubelet does with a container.

    python -I devstack/restarting.py PROGRAM [ARGUMENT ...]

Airflow's processes need such a restart. For example, a scheduler ends if PostgreSQL aborts a
transaction of the scheduler because of a deadlock. Without this module, nothing would start the
scheduler again.

The pause before a start doubles from 1 s up to 30 s, and is 1 s again after the program has run for
a minute. A program that ends within `TRIAL` seconds after its first start is not started again,
because its configuration or installation is wrong. The signals SIGTERM, SIGINT and SIGQUIT go to
the program, and after such a signal the program is not started again. The exit status of this
module is the program's exit status, or 128 + the number of the signal that has ended the program.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

TRIAL = 30.0
"""Seconds that a program must run after its first start. A program that ends earlier is not started
again.
"""

LONGEST_PAUSE = 30.0
"""The maximum number of seconds between the end of the program and its next start."""


def main(arguments: Sequence[str], trial: float = TRIAL, longest_pause: float = LONGEST_PAUSE) -> int:
    """Run a program, and start it again whenever it ends. Return instead of starting the program
    again in two cases: this process has received SIGTERM, SIGINT or SIGQUIT, or the program has
    ended within `trial` seconds after its first start.

    Args:
        arguments: The program and its arguments.
        trial: The minimum number of seconds that the program must run after its first start. If the
            program ends earlier, the program is not started again.
        longest_pause: The maximum number of seconds between the end of the program and its next
            start.

    Returns:
        The exit status of the program, or 128 + the number of the signal that has ended the
        program.
    """
    asked_to_end = threading.Event()
    program: subprocess.Popen[bytes] | None = None

    def end(number: int, frame: FrameType | None) -> None:
        asked_to_end.set()
        if program is not None:
            program.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, end)

    shortest_pause = min(1.0, longest_pause)
    pause, first = shortest_pause, True
    while True:
        began = time.monotonic()
        program = subprocess.Popen(arguments)
        if asked_to_end.is_set():
            # The signal came before there was a program that could get it.
            program.terminate()
        code = program.wait()
        status = code if code >= 0 else 128 - code
        lasted = time.monotonic() - began
        if asked_to_end.is_set() or (first and lasted < trial):
            return status
        if lasted > 60:
            pause = shortest_pause
        print(
            f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {arguments[0]} ended with status {status} after {lasted:.0f} s."
            f" It is started again in {pause:.0f} s.",
            flush=True,
        )
        if asked_to_end.wait(pause):
            return status
        pause, first = min(pause * 2, longest_pause), False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
