"""Shares work between threads: one thread does the work, and the other threads wait for the result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from copy import copy
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares the result of some work between threads that ask for the work at the same time.

    While one thread does the work, every other thread that asks for the work waits for the result.
    If the work raises an exception, the waiting threads raise it too, and don't repeat the work.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None

    def do(self, work: Callable[[], T]) -> T:
        """Do the work, or wait for the thread that is doing it, and return the result.

        Raises:
            Exception: The exception of the work. Each waiting thread raises its own copy.
        """
        with self._lock:
            flight, begins = self._under_way, self._under_way is None
            if flight is None:
                flight = self._under_way = Future()
        if not begins:
            if (error := flight.exception()) is not None:
                raise copy(error) from None
            return flight.result()
        try:
            result = work()
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(result)
            return result
        finally:
            with self._lock:
                self._under_way = None
