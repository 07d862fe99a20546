"""Starts the parts of a stack, each after the parts that it needs."""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from devstack.component import Component, Step
from devstack.errors import NotReadyError, StackError
from devstack.processes import ManagedProcess
from devstack.progress import say, step


class Launcher:
    """Starts the parts of a stack. A part is a component or a step. A component is a process that
    keeps running, and a step is a function that returns when its work is done.

    Args:
        directory: The directory with the files of the stack's processes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._given_up = threading.Event()

    def start(self, component: Component) -> None:
        """Start one component if it is not running, and wait until it is ready.

        Raises:
            NotReadyError: The component did not become ready.
        """
        self._given_up.clear()
        if self._process(component.name).pid is None or not is_ready(component):
            self._bring_up(component)

    def run(self, parts: list[Component | Step]) -> None:
        """Start every part as soon as the parts that it needs are ready or done, and wait until all
        parts are ready or done. Parts that don't need each other can start at the same time. A
        component that is already running is restarted only if it is not ready, or if its command
        has changed.

        If a part fails, or a person presses Ctrl-C, no further part starts. The processes that have
        already started keep running, so the next `up` does not have to start these processes again.

        Raises:
            StackError: A component did not become ready, or a part needs a part that does not
                exist.
            Exception: A step failed. The step's own exception is raised.
        """
        waiting = {part.name: part for part in parts}
        done: set[str] = set()
        self._given_up.clear()
        with ThreadPoolExecutor(max_workers=len(parts)) as pool:
            running: dict[Future[None], str] = {}
            try:
                while waiting or running:
                    for name, part in list(waiting.items()):
                        if done.issuperset(part.needs):
                            running[pool.submit(self._do, waiting.pop(name))] = name
                    if not running:
                        raise StackError(f"Parts that these need do not exist: {', '.join(waiting)}")
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        name = running.pop(future)
                        future.result()
                        done.add(name)
            except BaseException:
                self._given_up.set()
                raise

    def _do(self, part: Component | Step) -> None:
        if isinstance(part, Step):
            part.run()
            return
        process = self._process(part.name)
        if process.pid is not None and process.fingerprint == part.command().fingerprint() and is_ready(part):
            say(f"  {part.name:<24} is up")
            return
        process.stop(part.patience)
        self._bring_up(part)

    def _bring_up(self, component: Component) -> None:
        process = self._process(component.name)
        with step(component.name, "starting"):
            component.prepare()
            if process.pid is None:
                process.start(component.command())
            deadline = time.monotonic() + component.bound
            while not is_ready(component):
                if self._given_up.is_set():
                    raise StackError(f"{component.name} was still starting when another component failed")
                if process.pid is None:
                    raise NotReadyError(component.name, "stopped while it was starting", process.log)
                if time.monotonic() > deadline:
                    raise NotReadyError(component.name, f"was not ready after {component.bound:.0f}s", process.log)
                time.sleep(0.1)

    def _process(self, name: str) -> ManagedProcess:
        return ManagedProcess(self._directory, name)


def is_ready(component: Component) -> bool:
    """Return whether a component is ready. If the check raises an exception, return False."""
    try:
        return component.ready()
    except Exception:
        return False
